"""An upgrade as Markdown, fit for a pull request: the answer first, then what moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.gates.upgrade import Upgrade, UpgradeVerdict, VersionStep
from harness.markdown import markdown_table, markdown_text
from harness.report.text import NOTHING, number

_MEANING = {
    UpgradeVerdict.YES: "nothing moved by more than its tolerance",
    UpgradeVerdict.LOOK: "something moved beyond its tolerance",
    UpgradeVerdict.NO: "something got surely worse than its tolerance allows",
    UpgradeVerdict.NOISY: "figures moved or cases failed in the null run as well, so nothing can be said",
}
_SHOWN = ("torch", "diffusers", "transformers", "accelerate")
_LEGEND = (
    "Every case was run under every version, with the same weights, prompts and seeds. A figure moved where its "
    "difference is beyond tolerances.toml; largest is the largest difference of any figure, in tolerances. A case is "
    "lost where an earlier version measured it and a later one lacks it, or its test raised or is red there. The "
    "answer compares the last version with the one before it, and is no where a case is lost; the null run is a second "
    "run of the last version, in which nothing should move. A verdict is that of the last version's own run against "
    "the stored baseline."
)
_MOST = 20  # lost cases that are listed for one checkpoint where the page has to be short


def markdown(upgrades: Sequence[Upgrade], made_with: Mapping[str, Mapping[str, str]]) -> str:
    """The whole page."""
    out = ["# Upgrade check", ""]
    out += [
        f"- **{markdown_text(f'{u.checkpoint}, {u.dtype}')}: {u.answer.value}** ({markdown_text(_reason(u))})"
        for u in upgrades
    ]
    rows = [(label, *(versions.get(p, "-") for p in _SHOWN)) for label, versions in made_with.items()]
    out += ["", _LEGEND, "", *markdown_table(("run", *_SHOWN), rows)]
    out += ["", "## Step by step", ""]
    head = ("checkpoint", "dtype", "from", "to", "figures", "same", "within", "moved", "lost", "new", "largest")
    steps = [(u, step) for u in upgrades for step in (*u.steps, u.null) if step is not None]
    out += markdown_table(head, [_row(u, step, null=step is u.null) for u, step in steps])
    for upgrade in upgrades:
        out += _lost(upgrade, _MOST)
        if upgrade.traces:
            out += ["", *_traced(upgrade)]
    return "\n".join([*out, ""])


def _heading(upgrade: Upgrade, title: str = "") -> str:
    name = markdown_text(f"{upgrade.checkpoint}, {upgrade.dtype}")
    return f"## {title}: {name}" if title else f"## {name}"


def _reason(upgrade: Upgrade) -> str:
    """Why the answer is what it is."""
    new = upgrade.labels[-1]
    lost = f"{len(upgrade.lost)} of {upgrade.cases} cases are missing or failed under {new}"
    reasons = [lost] if upgrade.lost else []
    if upgrade.problem:
        reasons.append(f"the run under {new} is not complete: {upgrade.problem}")
    if not reasons and upgrade.answer is UpgradeVerdict.LOOK and not upgrade.steps[-1].moved:
        return f"nothing to compare with under {upgrade.labels[-2]}" if not upgrade.broken else _broken(upgrade)
    if not reasons:
        reasons.append(_MEANING[upgrade.answer])
    if upgrade.broken:
        reasons.append(_broken(upgrade))
    return "; ".join(reasons)


def _broken(upgrade: Upgrade) -> str:
    return f"{len(upgrade.broken)} of {upgrade.cases} cases fail under every version"


def _lost(upgrade: Upgrade, most: int | None = None) -> list[str]:
    """The cases that the last version lacks or that fail in it, at most so many of each, with what became of them."""
    out: list[str] = []
    for title, cases in (("Missing or failed", upgrade.lost), ("Failed under every version", upgrade.broken)):
        if cases:
            rows = [(case.what, *case.states) for case in cases[:most]]
            out += ["", _heading(upgrade, title), ""]
            out += markdown_table(("case", *upgrade.labels), rows)
            out += ["", f"And {len(cases) - len(rows)} more."] if len(rows) < len(cases) else []
    return out


def _row(upgrade: Upgrade, step: VersionStep, *, null: bool) -> tuple[str, ...]:
    return (
        upgrade.checkpoint,
        upgrade.dtype,
        step.old,
        f"{step.old} (null run)" if null else step.new,
        str(step.figures),
        str(step.same),
        str(step.within),
        str(len(step.moved)),
        str(len(step.lost)),
        str(step.added),
        f"{step.largest:.2g}",
    )


def _traced(upgrade: Upgrade) -> list[str]:
    head = ("case", "figure", "baseline", *upgrade.labels, "tolerance", "first moved at", "")
    rows: list[tuple[str, ...]] = []
    for trace in upgrade.traces:
        values = [number(value, ".4g") for value in (trace.baseline, *trace.values)]
        rows.append((trace.what, trace.metric, *values, number(trace.limit, ".2g"), trace.first, trace.moved.value))
    return [_heading(upgrade, "What moved"), "", *markdown_table(head, rows)]


def every(upgrades: Sequence[Upgrade]) -> str:
    """A page of all figures of all cases under all versions; too long for a comment."""
    out = ["# Every figure under every version", "", _LEGEND]
    for upgrade in upgrades:
        head = ("case", "figure", "baseline", *upgrade.labels, "tolerance", "moved", "verdict")
        rows: list[tuple[str, ...]] = []
        for line in upgrade.lines:
            values = [number(value, ".6g") for value in (line.baseline, *line.values)]
            limit = number(line.limit, ".2g")
            verdict = line.verdict.value if line.verdict is not None else NOTHING
            rows.append((line.what, line.metric, *values, limit, line.moved.value, verdict))
        out += [*_lost(upgrade), "", _heading(upgrade), "", *markdown_table(head, rows)]
    return "\n".join([*out, ""])

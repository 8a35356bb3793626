"""Repeated clean runs as Markdown: the bound first, then what was red, then what the runs varied."""

from __future__ import annotations

from collections.abc import Sequence

from harness.gates.validation.false_reds import CleanRun, false_red_bound
from harness.markdown import markdown_table

_LEVEL = 0.95
_HEAD = ("kind of change", "runs", "red", f"rate at most ({_LEVEL:.0%})")


def markdown(runs: Sequence[CleanRun]) -> str:
    """The whole page. Raises ValueError for no run."""
    red = [run for run in runs if run.red]
    gates = sum(run.gates for run in runs)
    bound = false_red_bound(len(runs), len(red), _LEVEL)
    out = [
        "# False reds",
        "",
        f"{len(red)} of {len(runs)} clean runs were red. At {_LEVEL:.0%} that supports a rate of false-red runs of at "
        f"most {bound:.3g} (Clopper and Pearson, one-sided). {gates} records were judged in all, "
        f"{sum(len(run.red) for run in runs)} of them red.",
        "",
    ]
    rows: list[tuple[str, ...]] = []
    for change in sorted({change for run in runs for change in run.perturbed or ("none",)}):
        under = [run for run in runs if change in (run.perturbed or ("none",))]
        wrong = sum(bool(run.red) for run in under)
        rows.append((change, str(len(under)), str(wrong), f"{false_red_bound(len(under), wrong, _LEVEL):.3g}"))
    out += markdown_table(_HEAD, rows)
    if red:
        red_cases = [
            (run.name, ", ".join(run.perturbed), case, status) for run in red for case, status in run.red.items()
        ]
        out += ["", "## Red", "", *markdown_table(("run", "under", "case", "verdict"), red_cases)]
    return "\n".join([*out, ""])

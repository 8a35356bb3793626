"""What a red test says: what is red, every figure, what changed since the stored values, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.gates.reference import Reference
from harness.gates.rigour import EXPLORE
from harness.gates.verdict import NOT_MEASURED
from harness.report.attribution import attribution, control_attribution, control_line
from harness.report.text import number
from harness.report.worst_prompts import prompt_harms, worst
from harness.results import columns
from harness.results.fingerprint import changes
from harness.results.records import Check, Measurement, Status, Verdict


def headline(verdict: Verdict) -> str:
    """What is red, in one line: ``harm 33.41 sd, baseline 43.41, limit 43.32: better; latent drift is red, too``.

    It begins with the figure furthest outside its tolerance, so that a summary that cuts the line still says that.
    Where no figure is red it is the status with its reason.
    """
    red = [check for check in _furthest_first(verdict.checks) if check.status.red]
    # These two are no matter of a figure's value, whatever the figures say.
    if not red or verdict.status in (Status.NOTHING, Status.REFUSED, Status.ERROR):
        return ": ".join([verdict.status.value, *verdict.notes[-1:]])
    others = [check.metric.replace("_", " ") for check in red[1:]]
    more = f"; red, too: {', '.join(others)}" if others else ""
    return _short_line(red[0]) + more


def variant_failure(
    case: str,
    verdict: Verdict,
    measurement: Measurement,
    reference: Reference,
    control: Measurement,
    picture: Path,
    nodeid: str,
) -> str:
    """The message of a red case: its checks, what they follow from, and the prompts that lost most.

    ``picture`` shows those prompts, ``nodeid`` is the test's. ``control`` is the control's measurement in this run,
    which also has the prompts' texts.
    """
    lines = _first_lines(verdict)
    if reference.incomparable:
        return "\n".join([*lines, _incomparable_help(reference)])
    if reference.baseline is not None:
        lines.append(_changed_line(reference))
        # What has no stored value can't have moved, and a variant that is the control says so itself.
        if verdict.status is not Status.NOTHING and any(check.baseline is not None for check in verdict.checks):
            lines.append(attribution(case, measurement, control, reference))
    cited = worst(prompt_harms(measurement, control.texts))
    if cited:
        lines.append(f"worst prompts, control beside variant in {picture}:")
        lines += [
            f"  #{prompt.number:<3} {number(prompt.harm, '6.1f')} sd  {prompt.short}".rstrip() for prompt in cited
        ]
    return "\n".join([*lines, *_way_on(verdict, nodeid, _mode(verdict, reference))])


def control_failure(verdict: Verdict, control: Measurement, reference: Reference, nodeid: str) -> str:
    """The message of a red control."""
    lines = _first_lines(verdict)
    if reference.incomparable:
        return "\n".join([*lines, _incomparable_help(reference)])
    if reference.baseline is not None:
        lines += [_changed_line(reference), control_attribution(control, reference)]
    return "\n".join([*filter(None, lines), *_way_on(verdict, nodeid, "changed")])


def latency_failure(verdict: Verdict, reference: Reference, nodeid: str) -> str:
    """The message of a red timing."""
    lines = _first_lines(verdict)
    if reference.incomparable:
        return "\n".join([*lines, _incomparable_help(reference)])
    return "\n".join([*lines, _accept(nodeid, _mode(verdict, reference))])


def _first_lines(verdict: Verdict) -> list[str]:
    """What is red, the reason beside the figures where there is one, and every figure with its baseline."""
    first = headline(verdict)
    notes = [] if not verdict.notes or verdict.notes[-1] in first else [f"{verdict.status.value}: {verdict.notes[-1]}"]
    return [first, *notes, *map(check_line, _furthest_first(verdict.checks))]


def _furthest_first(checks: Sequence[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: (not check.status.red, -check.excess))


def figures_failure(
    red: Sequence[tuple[str, Check]],
    stored: Reference,
    reference: Reference,
    control: Measurement,
    nodeid: str,
) -> str:
    """The message of an analysis that left its stored figures; ``red`` are (name of the figure, check) pairs.

    ``stored`` holds the analysis's own figures, ``reference`` the cases', with which the control is compared.
    """
    return "\n".join([*(_figure_line(name, check) for name, check in red), *_since(stored, reference, control, nodeid)])


def _since(stored: Reference, reference: Reference, control: Measurement, nodeid: str) -> list[str]:
    """Where an analysis's figures are stored, what changed since, whether the control moved, and how to accept."""
    changed = ", ".join(_changes(stored)) or "nothing that is recorded"
    lines = [f"stored in {stored.baseline.path if stored.baseline else stored.target}", f"changed since: {changed}"]
    return [*lines, *control_and_accept(reference, control, nodeid)]


def control_and_accept(reference: Reference, control: Measurement, nodeid: str) -> list[str]:
    """Whether the control moved too, and the command that accepts what is red of an analysis."""
    line = control_line(control, reference, "the analysis, or its stored figures,")
    return [*filter(None, [line]), _accept(nodeid, "changed")]


def check_line(check: Check) -> str:
    """``harm  0.41 sd   baseline 0.22   limit 0.27 (+0.05, tolerances.toml "flux-*")``."""
    unit = columns.unit(check.metric)
    measured = "nothing" if check.source == NOT_MEASURED else f"{check.value:.4g}"
    if check.low is not None and check.high is not None:
        measured = f"{measured} [{check.low:.4g}, {check.high:.4g}]"
    value = f"{check.metric.replace('_', ' '):<15} {measured:<8} {unit:<3}"
    if check.source == NOT_MEASURED:
        return f"{value} baseline {check.baseline:<8.4g} not measured, though it is a gate"
    if check.baseline is None or check.tolerance is None:
        return f"{value} no baseline entry"
    stored = f"{value} baseline {check.baseline:<8.4g}"
    if not check.status.red:
        return f"{stored} ok"
    sign = "+" if _is_upper_limit(check) else "-"
    kind = "" if check.status is Status.REGRESSION else "  better than it was: stale, or not applied"
    return f"{stored} limit {_limit(check)} ({sign}{check.tolerance:.2g}, {check.source}){kind}"


def _short_line(check: Check) -> str:
    """``harm 33.41 sd, baseline 43.41, limit 43.32: better``: a red check in one short line."""
    name, unit = check.metric.replace("_", " "), columns.unit(check.metric)
    if check.source == NOT_MEASURED:
        return f"{name} not measured, baseline {check.baseline:.4g}"
    value = f"{name} {check.value:.4g} {unit}".rstrip()
    if check.baseline is None or check.tolerance is None:
        return f"{value}, no baseline entry"
    better = ": better" if check.status is Status.STALE else ""
    return f"{value}, baseline {check.baseline:.4g}, limit {_limit(check)}{better}"


def _is_upper_limit(check: Check) -> bool:
    """Whether a red value is too high, and not too low."""
    return (check.status is Status.REGRESSION) != columns.higher_is_better(check.metric)


def _limit(check: Check) -> str:
    """The end of the tolerance that a red value has passed."""
    assert check.baseline is not None
    assert check.tolerance is not None
    return f"{check.baseline + (check.tolerance if _is_upper_limit(check) else -check.tolerance):.4g}"


def _figure_line(name: str, check: Check) -> str:
    if check.baseline is None or check.tolerance is None:
        return f"{name} {check.metric}: {check.value:.4g}, no entry"
    allowed = f"+-{check.tolerance:.2g}, {check.source}"
    return f"{name} {check.metric}: {check.value:.4g}, stored {check.baseline:.4g} ({allowed})"


def _changed_line(reference: Reference) -> str:
    return "changed since the baseline: " + (", ".join(_changes(reference)) or "nothing that is recorded")


def _changes(reference: Reference) -> list[str]:
    return [] if reference.baseline is None else changes(reference.baseline.facts, reference.fingerprint)


def _incomparable_help(reference: Reference) -> str:
    file = reference.baseline.path if reference.baseline else reference.target
    return f"measure as {file} was; {EXPLORE}; for new stored values, move the file away"


def _mode(verdict: Verdict, reference: Reference) -> str:
    """The least that accepts a verdict: ``missing`` where the file has no entry of the case at all."""
    if reference.baseline is None or verdict.status is Status.MISSING:
        not_measured = any(check.source == NOT_MEASURED for check in verdict.checks)
        others = any(check.status.red and check.status is not Status.MISSING for check in verdict.checks)
        return "changed" if not_measured or others else "missing"
    return "changed"


def _way_on(verdict: Verdict, nodeid: str, mode: str) -> list[str]:
    """How to accept what is red; nothing that a refused judge scored can be stored, and its note says what to do."""
    return [] if verdict.status is Status.REFUSED else [_accept(nodeid, mode)]


def _accept(nodeid: str, mode: str) -> str:
    return f'accept with: pytest "{nodeid}" --dit-baseline-update={mode}'

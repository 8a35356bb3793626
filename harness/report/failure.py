"""What a red test says: every figure at once, what changed since the stored values, and the way on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.gates.reference import Reference
from harness.gates.rigour import EXPLORE
from harness.gates.verdict import NOT_MEASURED, compare_control
from harness.results import columns
from harness.results.fingerprint import changes
from harness.results.records import Check, Measurement, Status, Verdict
from harness.results.statistics import by_prompt

_WORST_PROMPTS = 3  # how many are named


def variant_failure(
    verdict: Verdict, measurement: Measurement, reference: Reference, control: Measurement, images: Path, nodeid: str
) -> str:
    """The message of a red case: its checks, the control beside them, and the prompts that lost most.

    ``images`` is the strip of the case's images, ``nodeid`` the test's.
    """
    order = sorted(verdict.checks, key=lambda check: (not check.status.red, -check.excess))
    lines = [*_notes(verdict), *map(check_line, order)]
    if reference.incomparable:
        return "\n".join([*lines, _incomparable_help(reference)])
    if reference.baseline is not None:
        lines += [_changed_line(reference), _control_line(control, reference)]
    harms = by_prompt(measurement.values["harm"], measurement.prompts) / measurement.summary["seed_sd"]
    worst = ", ".join(f"#{i + 1} {harms[i]:.1f} sd" for i in harms.argsort()[::-1][:_WORST_PROMPTS])
    return "\n".join(
        [*lines, f"worst prompts: {worst}   {images}", *_way_on(verdict, nodeid, _mode(verdict, reference))]
    )


def control_failure(verdict: Verdict, reference: Reference, nodeid: str) -> str:
    """The message of a red control."""
    if reference.incomparable:
        return "\n".join([*_notes(verdict), _incomparable_help(reference)])
    order = sorted(verdict.checks, key=lambda check: not check.status.red)
    changed = [] if reference.baseline is None else [_changed_line(reference)]
    return "\n".join([*_notes(verdict), *map(check_line, order), *changed, *_way_on(verdict, nodeid, "changed")])


def latency_failure(verdict: Verdict, reference: Reference, nodeid: str) -> str:
    """The message of a red timing."""
    if reference.incomparable:
        return "\n".join([*_notes(verdict), _incomparable_help(reference)])
    return "\n".join([*_notes(verdict), *map(check_line, verdict.checks), _accept(nodeid, _mode(verdict, reference))])


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
    """Whether the control moved too, and the command that accepts what is red."""
    lines = [] if reference.baseline is None else [_control_line(control, reference)]
    return [*lines, _accept(nodeid, "changed")]


def _control_line(control: Measurement, reference: Reference) -> str:
    """Whether the control moved too (the library drifted) or only the variant (the ablation did)."""
    assert reference.baseline is not None
    stored = reference.baseline.facts
    if stored is not None and stored.control_latents == control.latents_sha256:
        return "control: bit-identical, so the variant changed and not the model"
    if stored is None or not stored.control_latents:
        return "control: not stored, so nothing says whether the variant changed or the model"
    checks = compare_control(control, reference).checks
    moved = [check for check in checks if check.status.red and check.baseline is not None]
    if not moved:
        return "control: not bit-identical but within its tolerances, so it is the variant that changed"
    what = ", ".join(f"{check.metric} {check.baseline:.4g} -> {check.value:.4g}" for check in moved)
    return f"control: moved too ({what}), so look for a change of the model or the library first"


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
    up = (check.status is Status.REGRESSION) != columns.higher_is_better(check.metric)
    far = check.baseline + (check.tolerance if up else -check.tolerance)
    sign = "+" if up else "-"
    kind = "" if check.status is Status.REGRESSION else "  better than it was: stale, or not applied"
    return f"{stored} limit {far:.4g} ({sign}{check.tolerance:.2g}, {check.source}){kind}"


def _figure_line(name: str, check: Check) -> str:
    if check.baseline is None or check.tolerance is None:
        return f"{name} {check.metric}: {check.value:.4g}, no entry"
    allowed = f"+-{check.tolerance:.2g}, {check.source}"
    return f"{name} {check.metric}: {check.value:.4g}, stored {check.baseline:.4g} ({allowed})"


def _notes(verdict: Verdict) -> list[str]:
    return [f"{verdict.status.value}: {verdict.notes[-1]}"] if verdict.notes else []


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

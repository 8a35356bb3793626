"""The verdict on a measurement: how it compares with the stored values. Pure functions of data, without pytest.

Four rules, in this order of weight: an ablation whose latents are bitwise the control's did nothing; the scores of a
judge that failed its check say nothing; every gated
figure stays within its tolerance of the stored value, on both sides; and under the very fingerprint of the stored
values the latents are bitwise the stored ones, since nothing is left that could have changed them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.ablation.case import Case
from harness.gates.baselines import Baseline, Entry
from harness.gates.reference import Reference
from harness.gates.tolerances import Tolerance, tolerance_for
from harness.gates.update import UpdateMode
from harness.results import columns
from harness.results.fingerprint import Fingerprint
from harness.results.records import Check, Latency, Measurement, Status, Verdict
from harness.results.rounding import rounded

GREEN = (Status.OK, Status.INSENSITIVE)


def judge(
    case: Case,
    measurement: Measurement,
    reference: Reference,
    control: Measurement,
    update: UpdateMode | None = None,
) -> Verdict:
    """The verdict on an ablated variant.

    ``measurement`` is the variant's, ``control`` the un-ablated model's in the same run. In a run that updates the
    stored values, what its mode stores is ``updated`` and no failure. Never raises: what can't be compared is
    ``unjudged``, with the reason in the notes.
    """
    verdict = _trusted(_against_stored(case, measurement, reference, update), measurement)
    return _did_nothing(verdict, measurement.latents_sha256, control.latents_sha256, str(case.plan))


def judge_control(measurement: Measurement, reference: Reference, update: UpdateMode | None = None) -> Verdict:
    """The verdict on the control's own figures: its score, collapses, reseed distance and FID between seeds."""
    if reason := reference.why_unjudged(update):
        return _trusted(unjudged(reason), measurement)
    verdict = _same_bits(compare_control(measurement, reference), _control_id(reference), measurement, reference)
    return _trusted(verdict if update is None else accepted(verdict, update), measurement)


def judge_latency(case: Case, latency: Latency, reference: Reference, update: UpdateMode | None = None) -> Verdict:
    """The verdict on a variant's time relative to the control's; only judged on the GPU that the baseline is from."""
    if reference.fingerprint.device == "cpu":
        return unjudged("latency is only reported on a CPU")
    if reference.fingerprint.offload == "group":
        return unjudged("latency is only reported where weights move at every forward")
    if reference.baseline is None or not reference.exact or reference.incomparable or case.span is None:
        return unjudged("no latency baseline from this very device")
    values = {"relative_time": 1.0 / latency.ratio}
    verdict = compare(
        case.id, values, reference.baseline.cases.get(case.id, {}), reference.tolerances, columns.latency_gated()
    )
    return verdict if update is None else accepted(verdict, update)


def unjudged(reason: str) -> Verdict:
    """The verdict on what there is nothing to compare with."""
    return Verdict(Status.UNJUDGED, notes=(reason,))


def _against_stored(case: Case, measurement: Measurement, reference: Reference, update: UpdateMode | None) -> Verdict:
    if case.span is None and not reference.incomparable:
        return unjudged("a plan by hand has no baseline")
    if reason := reference.why_unjudged(update):
        return unjudged(reason)
    stored = reference.baseline.cases.get(case.id, {}) if reference.baseline else {}
    if case.window is not None and not stored and update is None:
        # Any number of windows can be asked for: that nobody stored this one is no fault.
        return unjudged("nobody stored this window of steps")
    verdict = compare(case.id, measurement.summary, stored, reference.tolerances)
    verdict = _same_bits(verdict, case.id, measurement, reference)
    return verdict if update is None else accepted(verdict, update)


def compare_control(measurement: Measurement, reference: Reference) -> Verdict:
    """The control's own figures against the stored ones; without the rule about bits."""
    control = reference.baseline.control if reference.baseline else None
    stored = control.by_name if control else {}
    entries = {metric: Entry(value, measurement.prompts) for metric, value in stored.items()}
    gated = [metric for metric in columns.control_gated() if metric in measurement.summary]
    return compare(_control_id(reference), measurement.summary, entries, reference.tolerances, gated)


def _control_id(reference: Reference) -> str:
    return f"{reference.fingerprint.checkpoint}-control"


def compare(
    case: str,
    values: Mapping[str, float],
    stored: Mapping[str, Entry],
    tolerances: Sequence[Tolerance],
    gated: Iterable[str] | None = None,
) -> Verdict:
    """Every gated figure against its stored value: those of a case, unless others are named. Both sides fail.

    Higher is worse, except where the figure's declaration says that higher is better. A figure without a tolerance is
    compared as finely as it is stored. A value that is not a number is a regression.
    """
    checks = [
        _check(metric, values[metric], stored.get(metric), tolerance_for(tolerances, case, metric))
        for metric in (columns.gated() if gated is None else gated)
        if metric in values
    ]
    return Verdict(_overall(checks), tuple(checks))


def _check(metric: str, value: float, entry: Entry | None, tolerance: Tolerance | None) -> Check:
    if entry is None:
        return Check(metric, value, None, None, Status.MISSING)
    limit = entry.limit(tolerance)
    # Stored values are rounded, so that is how finely they can be compared.
    change = (rounded(value) if math.isfinite(value) else value) - entry.value
    status = Status.OK
    if not abs(change) <= limit:  # also where the value is NaN
        better = change > 0 if columns.higher_is_better(metric) else change < 0
        status = Status.STALE if better else Status.REGRESSION
    return Check(metric, value, entry.value, limit, status, _source(entry, tolerance), entry.effect)


def _source(entry: Entry, tolerance: Tolerance | None) -> str:
    if tolerance is None:
        return "exact"
    return tolerance.source if entry.limit(tolerance) == tolerance.limit(entry.value) else "noise floor"


def _overall(checks: Sequence[Check]) -> Status:
    """The gravest status; a case that would not even see one more block skipped is insensitive, where it is green.

    A gate sees that fault where its limit is under half of the fault's effect.
    """
    status = worst(c.status for c in checks)
    known = [c for c in checks if c.effect is not None]
    insensitive = bool(known) and not any(
        c.tolerance is not None and c.tolerance < c.effect / 2 for c in known if c.effect
    )
    return Status.INSENSITIVE if status is Status.OK and insensitive else status


def worst(statuses: Iterable[Status]) -> Status:
    """The gravest of some outcomes; OK for none."""
    order = (*(s for s in Status if s.red), Status.UNJUDGED, Status.UPDATED, Status.INSENSITIVE)
    present = set(statuses)
    return next((s for s in order if s in present), Status.OK)


def accepted(verdict: Verdict, mode: UpdateMode) -> Verdict:
    """The verdict of a run that writes baselines: what the mode stores is no failure any more."""
    writable = {s for s in (Status.REGRESSION, Status.STALE) if mode.writes(stored=True, red=True)} | {Status.MISSING}
    checks = tuple(
        replace(check, status=Status.UPDATED) if check.status in writable else check for check in verdict.checks
    )
    # Bits that differ under the same fingerprint are stored anew; nothing accepts an ablation that did nothing.
    bitwise = verdict.status is Status.NONDETERMINISM and mode is not UpdateMode.MISSING
    left = () if bitwise or verdict.status is not Status.NONDETERMINISM else (verdict.status,)
    status = worst([*(c.status for c in checks), *left, *([Status.UPDATED] if bitwise else [])])
    return replace(verdict, status=status, checks=checks)


def _did_nothing(verdict: Verdict, latents: str, control: str, plan: str) -> Verdict:
    """Red where a variant's latents are bitwise the control's, whatever its figures say; hashes may be empty."""
    if not latents or latents != control:
        return verdict
    note = (
        f"the latents are bitwise the control's under the plan '{plan}': the ablation was not applied, or this plan "
        "computes what the model computes"
    )
    return replace(verdict, status=Status.NOTHING, notes=(*verdict.notes, note))


def _trusted(verdict: Verdict, measurement: Measurement) -> Verdict:
    """Red where the judge was refused, whatever the figures that follow from its scores say."""
    check = measurement.judge_check
    if check is None or not check.refused:
        return verdict
    return replace(verdict, status=Status.REFUSED, notes=(*verdict.notes, check.sentence))


def _same_bits(verdict: Verdict, case: str, measurement: Measurement, reference: Reference) -> Verdict:
    """Red where a case is within its tolerances, but not bitwise what this very fingerprint gave before."""
    if reference.baseline is None or not reference.exact:
        return verdict
    return same_bits(verdict, case, measurement.latents_sha256, reference.fingerprint, reference.baseline)


def same_bits(verdict: Verdict, case: str, latents: str, fingerprint: Fingerprint, baseline: Baseline) -> Verdict:
    """Red where the stored latents are of this very fingerprint, and these are not bitwise the same.

    The fingerprint holds machine, instruction set, threads, batch, kernels, versions, weights and prompts: with all of
    them equal there is nothing left but chance, or a change that nothing records.
    """
    stored = baseline.latents.get(case)
    if not latents or stored is None or stored[0] != fingerprint.digest or stored[1] == latents:
        return verdict
    note = (
        f"latents {latents[:12]} where the same fingerprint ({fingerprint.digest}) gave {stored[1][:12]}: "
        "nothing that is recorded has changed, so something is left to chance, or this harness has changed"
    )
    status = Status.NONDETERMINISM if verdict.status in GREEN else verdict.status
    return replace(verdict, status=status, notes=(*verdict.notes, note))

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
from harness.gates.rigour import Rigour
from harness.gates.tolerances import Tolerance, gates_of, tolerance_for
from harness.gates.update import UpdateMode
from harness.results import columns
from harness.results.fingerprint import Fingerprint
from harness.results.latency import TIMED_BATCH, Latency, RelativeTime
from harness.results.records import Check, Measurement, Status, Verdict
from harness.results.rounding import rounded

GREEN = (Status.OK, Status.INSENSITIVE)
NOT_MEASURED = "not measured"  # the source of a check on a stored figure without a value
_TIME = "relative_time"
_SCORE, _FIRST_SCORE = "score", "first_score"
_BY_HAND = "a plan by hand has no baseline"


def judge(
    case: Case,
    measurement: Measurement,
    reference: Reference,
    control: Measurement,
    update: UpdateMode | None = None,
) -> Verdict:
    """The verdict on an ablated variant.

    ``measurement`` is the variant's, ``control`` the un-ablated model's in the same run. In a run that updates the
    stored values, what its mode stores is ``updated`` and no failure. Never raises: what there is nothing to compare
    with is ``unjudged``, ``incomparable`` or ``missing``, with the reason in the notes (:func:`nothing_to_compare`).
    """
    verdict = _trusted(_against_stored(case, measurement, reference, update), measurement)
    return _did_nothing(verdict, measurement.latents_sha256, control.latents_sha256, case.change)


def judge_control(measurement: Measurement, reference: Reference, update: UpdateMode | None = None) -> Verdict:
    """The verdict on the control's own figures: its score, collapses, reseed distance and FID between seeds."""
    if verdict := nothing_to_compare(reference, update):
        return _trusted(verdict, measurement)
    verdict = _same_bits(compare_control(measurement, reference), _control_id(reference), measurement, reference)
    return _trusted(verdict if update is None else accepted(verdict, update), measurement)


def judge_latency(case: Case, latency: Latency, reference: Reference, update: UpdateMode | None = None) -> Verdict:
    """The verdict on a variant's time relative to the control's, which load of the machine moves alike.

    It is red where its whole interval is further from the stored value's than the tolerance: a noisy timing has a wide
    interval, and says nothing. Only values from the same kind of device, and of the same batch, are compared.
    """
    if reference.fingerprint.offload == "group":
        return unjudged("latency is only reported where weights move at every forward")
    if case.written_by_hand:
        return unjudged(_BY_HAND)
    if verdict := nothing_to_compare(reference, update):
        return verdict
    if reference.baseline is not None and not reference.exact:
        return unjudged(f"relative times are those of another device ({reference.baseline.device})")
    stored = reference.baseline.cases.get(case.id, {}) if reference.baseline else {}
    strict = reference.rigour is Rigour.STRICT
    if (batch := _stored_batch(reference)) is not None and batch != latency.batch and _TIME in stored:
        return unjudged(f"timed with a batch of {latency.batch}, where the stored value is of {batch}")
    if tolerance_for(reference.tolerances, case.id, _TIME) is None:
        return unjudged("no entry of tolerances.toml makes latency a gate")
    if _TIME not in stored and update is None:
        # Quality can be stored without times, as with --benchmark-skip: that is a fault in a strict run alone.
        return _missing("no relative time is stored for this case", Status.MISSING, red=strict)
    verdict = compare(case.id, {_TIME: latency.relative_time.value}, stored, reference.tolerances, [_TIME])
    verdict = _over_interval(verdict, latency.relative_time, stored.get(_TIME))
    return verdict if update is None else accepted(verdict, update)


def _over_interval(verdict: Verdict, now: RelativeTime, stored: Entry | None) -> Verdict:
    """The verdict on one figure by its interval: red where all of it is on one side of what is allowed.

    What is allowed begins at the ends of the stored value's own interval, as that was measured on some day, too.
    """
    (check,) = verdict.checks
    check = replace(check, low=now.low, high=now.high)
    if stored is not None and check.tolerance is not None and math.isfinite(check.value):
        limit = check.tolerance + stored.half_width
        slower, faster = now.low > stored.value + limit, now.high < stored.value - limit
        status = Status.REGRESSION if slower else Status.STALE if faster else Status.OK
        check = replace(check, tolerance=limit, status=status)
    return replace(verdict, status=check.status, checks=(check,))


def _stored_batch(reference: Reference) -> int | None:
    """How many images were timed at once when the stored values were measured; None where that is not known."""
    facts = reference.baseline.facts if reference.baseline else None
    batch = facts.sampling.get("batch") if facts else None
    return min(TIMED_BATCH, int(batch)) if isinstance(batch, int) else None


def nothing_to_compare(reference: Reference, update: UpdateMode | None = None) -> Verdict | None:
    """The verdict where no stored value of the checkpoint applies; None where one may.

    A file that doesn't apply is red unless the run asks for ``unjudged``, a file that isn't there only in a strict one.
    """
    if reference.no_images:
        return unjudged(reference.no_images)
    if reference.incomparable:
        return _missing(reference.incomparable, Status.INCOMPARABLE, red=reference.rigour is not Rigour.LENIENT)
    if reference.baseline is None and update is None:
        why = f"there is no {reference.target.name} for this checkpoint"
        return _missing(why, Status.MISSING, red=reference.rigour is Rigour.STRICT)
    return None


def _missing(reason: str, status: Status, *, red: bool) -> Verdict:
    return Verdict(status if red else Status.UNJUDGED, notes=(reason,))


def unjudged(reason: str) -> Verdict:
    """The verdict on what there is nothing to compare with."""
    return Verdict(Status.UNJUDGED, notes=(reason,))


def _against_stored(case: Case, measurement: Measurement, reference: Reference, update: UpdateMode | None) -> Verdict:
    if case.written_by_hand and not reference.no_images:
        return unjudged(_BY_HAND)
    if verdict := nothing_to_compare(reference, update):
        return verdict
    if measurement.subset is not None and measurement.partial:
        return unjudged(f"{measurement.subset.text} were measured, and the stored values are of all")
    stored = reference.baseline.cases.get(case.id, {}) if reference.baseline else {}
    if measurement.subset is not None:  # what needs all images at once is not measured in rounds
        stored = {metric: entry for metric, entry in stored.items() if metric in measurement.summary}
    if not case.in_whole_forwards and not stored and update is None:
        # Any number of windows and passes can be asked for: that nobody stored this is a fault in a strict run alone.
        what = "window of steps" if case.guidance_pass is None else "pass of guidance"
        why = f"nobody stored this {what}"
        return _missing(why, Status.MISSING, red=reference.rigour is Rigour.STRICT)
    quality = {metric: entry for metric, entry in stored.items() if metric not in columns.latency_gated()}
    verdict = compare(case.id, measurement.summary, quality, reference.tolerances)
    verdict = _same_bits(verdict, case.id, measurement, reference)
    return verdict if update is None else accepted(verdict, update)


def compare_control(measurement: Measurement, reference: Reference) -> Verdict:
    """The control's own figures against the stored ones; without the rule about bits."""
    control = reference.baseline.control if reference.baseline else None
    stored = control.by_name if control else {}
    if _some_seeds(measurement, reference):
        stored = {metric: value for metric, value in stored.items() if metric in measurement.summary}
    entries = {metric: Entry(value, measurement.prompts) for metric, value in stored.items()}
    case = _control_id(reference)
    # What is allowed of the score over all seeds is allowed of the first seed's, unless an entry says otherwise.
    first = [replace(each, metric=_FIRST_SCORE) for each in reference.tolerances if each.metric == _SCORE]
    tolerances = (*first, *reference.tolerances)
    gates = gates_of(tolerances, case, {*measurement.summary, *entries})
    return compare(case, measurement.summary, entries, tolerances, gates)


def _some_seeds(measurement: Measurement, reference: Reference) -> bool:
    """Whether the control was made on the seeds of the variants alone: figures over all seeds are the stored ones."""
    seeds = reference.fingerprint.sampling.get("seeds", 1)
    return measurement.n < measurement.prompts * int(seeds)


def _control_id(reference: Reference) -> str:
    return f"{reference.fingerprint.checkpoint}-control"


def compare(
    case: str,
    values: Mapping[str, float],
    stored: Mapping[str, Entry],
    tolerances: Sequence[Tolerance],
    gated: Iterable[str] | None = None,
) -> Verdict:
    """Every gated figure against its stored value, or those of the names that are ``gated``. Both sides fail.

    A figure that is stored, or could be, is gated where an entry of ``tolerances`` says so. Higher is worse, except
    where the figure's declaration says that higher is better. A value that is not a number is a regression; one that
    is stored and was not measured is missing, and so is one that was measured and is not stored.
    """
    if gated is None:
        gated = gates_of(tolerances, case, {*(name for name in values if columns.is_stored(name)), *stored})
    checks = [
        _check(metric, values.get(metric), stored.get(metric), tolerance_for(tolerances, case, metric))
        for metric in gated
        if metric in values or metric in stored
    ]
    return Verdict(_overall(checks), tuple(checks))


def _check(metric: str, value: float | None, entry: Entry | None, tolerance: Tolerance | None) -> Check:
    if entry is None:
        return Check(metric, math.nan if value is None else value, None, None, Status.MISSING)
    if value is None:
        return Check(metric, math.nan, entry.value, entry.limit(tolerance), Status.MISSING, NOT_MEASURED, entry.effect)
    limit = entry.limit(tolerance)
    # Stored values are rounded, so that is how finely they can be compared.
    now = rounded(value) if math.isfinite(value) else value
    stored = entry.nearest(now)
    status = Status.OK
    if not abs(now - stored) <= limit:  # also where the value is NaN
        better = now > stored if columns.higher_is_better(metric) else now < stored
        status = Status.STALE if better else Status.REGRESSION
    return Check(metric, value, stored, limit, status, _source(entry, tolerance), entry.effect)


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
    replaces = mode.writes(stored=True, red=True)
    writable = {Status.REGRESSION, Status.STALE, Status.MISSING} if replaces else {Status.MISSING}
    checks = tuple(
        replace(check, status=Status.UPDATED)
        if check.status in writable and (replaces or check.source != NOT_MEASURED)
        else check
        for check in verdict.checks
    )
    # Bits that differ under the same fingerprint are stored anew; nothing accepts an ablation that did nothing.
    bitwise = verdict.status is Status.NONDETERMINISM and mode is not UpdateMode.MISSING
    left = () if bitwise or verdict.status is not Status.NONDETERMINISM else (verdict.status,)
    status = worst([*(c.status for c in checks), *left, *([Status.UPDATED] if bitwise else [])])
    return replace(verdict, status=status, checks=checks)


def _did_nothing(verdict: Verdict, latents: str, control: str, change: str) -> Verdict:
    """Red where a variant's latents are bitwise the control's, whatever its figures say; hashes may be empty."""
    if not latents or latents != control:
        return verdict
    note = (
        f"the latents are bitwise the control's under {change}: it was not applied, or it computes what the "
        "model computes"
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

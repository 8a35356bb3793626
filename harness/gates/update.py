"""Writing stored values: the one writer behind ``--dit-baseline-update`` and ``--dit-calibrate``."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.baselines import Baseline, Calibration, ControlFigures, Entry, Mode
from harness.results.columns import is_stored
from harness.results.fingerprint import BaselineFacts, Fingerprint, facts, incomparable
from harness.results.records import Kind, Record, Status
from harness.results.rounding import rounded


class UpdateMode(enum.StrEnum):
    """What a run may write over stored values, the most careful first."""

    MISSING = "missing"  # only what has no stored value
    CHANGED = "changed"  # what was red, too; what is inside its tolerance stays, so that values don't creep
    ALL = "all"  # everything that was measured

    def writes(self, *, stored: bool, red: bool) -> bool:
        """Whether a new value is written where there is (``stored``) an old one, against which it was ``red``."""
        return not stored or self is UpdateMode.ALL or (self is UpdateMode.CHANGED and red)


def refuse_mixing(path: Path, stored: BaselineFacts | None, now: BaselineFacts | Fingerprint) -> None:
    """Raise BaselineError where values measured differently would get into one file.

    Differently means with other prompts, another judge or other sampling. ``stored`` is None where the file has none.
    """
    if other := incomparable(stored, now):
        raise BaselineError(f"{path} is not updated: this run is {other}; use the same, or move the file away")


def open_for_update(path: Path, fingerprint: Fingerprint) -> Baseline:
    """The baseline file to write into, or an empty one where there is no file yet.

    Raises BaselineError where the file can't be read, or was measured differently.
    """
    if not path.exists():
        return Baseline(path, fingerprint.checkpoint, fingerprint.device, fingerprint.dtype)
    baseline = baselines.load(path, fingerprint.checkpoint)
    refuse_mixing(path, baseline.facts, fingerprint)
    return baseline


def update_cases(folder: Path, records: Sequence[Record], mode: UpdateMode) -> list[Path]:
    """Bring the files under a baselines folder up to a run's records; the paths of the files that changed.

    Values of cases that did not run stay. Raises HarnessError where a file can't be read or written.
    """
    written: list[Path] = []
    for name in dict.fromkeys(record.checkpoint for record in records):
        own = [record for record in records if record.checkpoint == name]
        fingerprint = own[0].fingerprint
        path = baselines.file_of(folder, name, fingerprint.device, fingerprint.dtype)
        baseline = open_for_update(path, fingerprint)
        own = _in_own_unit(baseline, own, mode)
        changed = [_store_record(baseline, record, mode) for record in own]  # every record, not up to the first change
        if any(changed):
            baselines.save(baseline)
            written.append(path)
    return written


def _in_own_unit(baseline: Baseline, records: Sequence[Record], mode: UpdateMode) -> list[Record]:
    """The records with their harms in the unit of harm of the model that they are of.

    A run measures in the stored unit, so that a change of the control can't rescale every harm. Where everything is
    stored anew and the weights are others, that unit belongs to another model: then this run's control gives the unit,
    and what the file keeps of cases that did not run is converted, too.
    """
    control = next((r.measurement for r in records if r.kind is Kind.CONTROL and r.measurement is not None), None)
    others = baseline.facts is not None and baseline.facts.weights != records[0].fingerprint.weights
    if mode is not UpdateMode.ALL or not others or control is None or baseline.control is None:
        return list(records)
    unit = control.summary["seed_sd"]
    factor = baseline.control.seed_sd / unit
    for case, entries in baseline.cases.items():
        if "harm" in entries:
            baseline.cases[case] = {**entries, "harm": _scaled(entries["harm"], factor)}
    baseline.control = replace(baseline.control, seed_sd=unit)
    return [_measured_in(record, unit) for record in records]


def _scaled(entry: Entry, factor: float) -> Entry:
    tolerance, effect = (None if v is None else rounded(v * factor) for v in (entry.tolerance, entry.effect))
    mode = None if entry.mode is None else replace(entry.mode, value=rounded(entry.mode.value * factor))
    return replace(entry, value=rounded(entry.value * factor), tolerance=tolerance, effect=effect, mode=mode)


def _measured_in(record: Record, unit: float) -> Record:
    measured = record.measurement
    if measured is None or "clip_delta" not in measured.summary:
        return record
    # As the lab computes it, so that the next run finds the very same harm.
    harm = {"seed_sd": unit, "harm": -measured.summary["clip_delta"] / unit}
    return replace(record, measurement=replace(measured, summary={**measured.summary, **harm}))


def update_figures(
    path: Path,
    fingerprint: Fingerprint,
    seed_sd: float,
    figures: Mapping[str, Mapping[str, float]],
    n: int,
    mode: UpdateMode,
) -> None:
    """Store figures of an analysis, by entry and metric, each over ``n`` prompts. Raises HarnessError.

    One check of an analysis is accepted as a whole: ``changed`` replaces all of its figures.
    """
    baseline = open_for_update(path, fingerprint)
    baseline.facts = facts(fingerprint)
    baseline.control = ControlFigures(seed_sd)
    for entry, values in figures.items():
        stored = baseline.cases.get(entry, {})
        fresh = {
            metric: Entry(rounded(value), n)
            for metric, value in values.items()
            if mode.writes(stored=metric in stored, red=True)
        }
        baseline.cases[entry] = {**stored, **fresh} if mode is UpdateMode.MISSING else fresh
    baselines.save(baseline)


def update_noise_floors(
    baseline: Baseline,
    floors: Mapping[str, Mapping[str, float]],
    calibration: Calibration,
    modes: Mapping[str, Mapping[str, Mode]] | None = None,
) -> None:
    """Store the tolerances that noise floors ask for, by metric and case, with what they were measured under.

    ``modes`` are the second values of those cases that have two, by metric and case. Raises HarnessError where the file
    can't be written.
    """
    for metric, tolerances in floors.items():
        second = (modes or {}).get(metric, {})
        for case, tolerance in tolerances.items():
            entry = baseline.cases[case][metric]
            baseline.cases[case][metric] = replace(entry, tolerance=rounded(tolerance), mode=second.get(case))
    baseline.calibration = calibration
    baselines.save(baseline)


def _store_record(baseline: Baseline, record: Record, mode: UpdateMode) -> bool:
    """Write one record into ``baseline`` as the mode allows; True where anything changed."""
    if record.kind is Kind.CONTROL:
        return _store_control(baseline, record, mode)
    values = _values(record)
    worthless = record.verdict.status in (Status.NOTHING, Status.REFUSED)
    if not values or record.strategy.startswith("plan-") or worthless:
        return False
    if baseline.control is None:
        if "seed_sd" not in values:
            return False  # a timing alone, without the unit of harm that the file begins with
        baseline.control = ControlFigures(values["seed_sd"].value)
        baseline.facts = facts(record.fingerprint)
    accepted = [check for check in record.verdict.checks if check.status is Status.UPDATED]
    changed = store_values(baseline, record.case, values, mode, accepted=bool(accepted))
    for gone in [check.metric for check in accepted if math.isnan(check.value) and check.metric not in values]:
        changed = baseline.cases.get(record.case, {}).pop(gone, None) is not None or changed
    return _store_latents(baseline, record, mode) or changed


def _store_control(baseline: Baseline, record: Record, mode: UpdateMode) -> bool:
    if record.measurement is None or record.verdict.status is Status.REFUSED:
        return False
    kept = _store_latents(baseline, record, mode)
    measured = ControlFigures.of(record.measurement.summary)
    if baseline.control is not None and baseline.facts is not None and mode is UpdateMode.MISSING:
        others = {**measured.others, **baseline.control.others}
        if others == baseline.control.others:
            return kept
        baseline.control = replace(baseline.control, others=others)
        baseline.facts = replace(baseline.facts, metrics={**record.fingerprint.metrics, **baseline.facts.metrics})
        return True
    # The stored harms are in the stored unit, which only _in_own_unit changes.
    unit = measured.seed_sd if baseline.control is None else baseline.control.seed_sd
    baseline.control = replace(measured, seed_sd=unit)
    baseline.facts = facts(record.fingerprint, record.measurement.latents_sha256)
    return True


def _values(record: Record) -> dict[str, Entry]:
    """The figures of a record that may be stored."""
    if (latency := record.latency) is not None:
        # Where weights move at every forward, a timing says too little to be kept, as does one without an upper end.
        time = latency.relative_time
        if record.fingerprint.offload == "group" or not math.isfinite(time.high):
            return {}
        return {"relative_time": Entry(time.value, len(latency.variant), low=time.low, high=time.high)}
    if (measurement := record.measurement) is None:
        return {}
    return {metric: Entry(value, measurement.n) for metric, value in measurement.summary.items()}


def store_values(
    baseline: Baseline, case: str, values: Mapping[str, Entry], mode: UpdateMode, *, accepted: bool
) -> bool:
    """Write a case's values into ``baseline`` as the mode allows; True where anything changed.

    ``accepted`` says that a gate of the case was red and is accepted by this run: then the mode ``changed`` replaces
    all of the case's values, so that they were all measured together.
    """
    entries = baseline.cases.get(case, {})
    # A value that is replaced takes its noise floor and its effect along: they were measured around the old one.
    fresh = {
        metric: _rounded(entry)
        for metric, entry in values.items()
        if is_stored(metric) and math.isfinite(entry.value) and mode.writes(stored=metric in entries, red=accepted)
    }
    fresh = {metric: entry for metric, entry in fresh.items() if _measured(entries.get(metric)) != _measured(entry)}
    if not fresh:
        return False
    baseline.cases[case] = {**entries, **fresh}
    return True


def _rounded(entry: Entry) -> Entry:
    low, high = (None if end is None else rounded(end) for end in (entry.low, entry.high))
    return replace(entry, value=rounded(entry.value), low=low, high=high)


def _measured(entry: Entry | None) -> Entry | None:
    """What a run measured of an entry: not its noise floor and effect, which others do."""
    return None if entry is None else Entry(entry.value, entry.n, low=entry.low, high=entry.high)


def _store_latents(baseline: Baseline, record: Record, mode: UpdateMode) -> bool:
    """Keep the hash of a record's latents as the mode allows; True where anything changed.

    ``changed`` replaces it under the same fingerprint only: another machine's hash stays that machine's.
    """
    latents = record.measurement.latents_sha256 if record.measurement else ""
    stored, fresh = baseline.latents.get(record.case), (record.fingerprint.digest, latents)
    same_machine = stored is not None and stored[0] == record.fingerprint.digest
    if not latents or stored == fresh or not mode.writes(stored=stored is not None, red=same_machine):
        return False
    baseline.latents[record.case] = fresh
    return True

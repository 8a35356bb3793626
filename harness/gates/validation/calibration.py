"""``--dit-calibrate``: the noise floor of a run's cases, from runs of the same cases under perturbations.

Every perturbed run is a pytest of its own, since an instruction set is chosen before torch is loaded. What comes
out is kept beside the stored values, and can only narrow what tolerances.toml allows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import BaselineError, HarnessError
from harness.gates.baselines import Baseline, Calibration
from harness.gates.tolerances import Tolerance, tolerance_for
from harness.gates.validation import noise_floor
from harness.gates.validation.perturbations import Perturbation
from harness.gates.verdict import GREEN
from harness.results.columns import calibrated
from harness.results.journal import read
from harness.results.records import Kind, Record
from harness.results.rounding import DIGITS, rounded

TAKES_A_VALUE = ("--dit-calibrate", "--dit-run-id")


@dataclass(frozen=True)
class Calibrated:
    """What came out for one metric of one checkpoint. ``capped`` are cases that are noisier than a person allows."""

    metric: str
    cases: int
    max_t: float
    median_tolerance: float
    capped: tuple[str, ...]


def arguments(given: Sequence[str], perturbation: Perturbation, run_id: str, reports: Path) -> list[str]:
    """Pytest's arguments for the same cases under a perturbation: no timings, a run folder of its own."""
    kept: list[str] = []
    skip = False
    for argument in given:
        if skip:
            skip = False
        elif argument in TAKES_A_VALUE:
            skip = True
        elif not argument.startswith(tuple(f"{name}=" for name in TAKES_A_VALUE)):
            kept.append(argument)
    own = (f"--dit-perturb={perturbation}", f"--dit-run-id={run_id}", f"--dit-reports={reports}", "--benchmark-skip")
    return [*kept, *own]


def run(given: Sequence[str], perturbation: Perturbation, folder: Path, directory: Path) -> list[Record]:
    """The records of the same cases under a perturbation. Raises HarnessError where that run breaks.

    Red cases are no break: that a legal change turns a gate red is what calibrating has to find out.
    """
    name = f"{folder.name}.{perturbation.kind}-{perturbation.value}"
    command = [sys.executable, "-m", "pytest", *arguments(given, perturbation, name, folder.parent)]
    log = folder / f"{perturbation.kind}-{perturbation.value}.log"
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(  # noqa: S603 - this very pytest, with the arguments it was given
            command, cwd=directory, stdout=stream, stderr=subprocess.STDOUT, env=dict(os.environ), check=False
        ).returncode
    if code not in (0, 1):
        raise HarnessError(f"the run under {perturbation} ended with exit code {code}; see {log}")
    return read(folder.parent / name)


def check(reference: Sequence[Record], checkpoint: str) -> None:
    """Raise BaselineError where a noise floor would hide something: the control or a case is off its baseline."""
    mine = [r for r in reference if r.checkpoint == checkpoint]
    control = [r for r in mine if r.kind is Kind.CONTROL]
    if not control:
        raise BaselineError(
            f"{checkpoint} is not calibrated: its control did not run; run it with its control (without -k, say)"
        )
    quality = [r for r in mine if r.kind in (Kind.CONTROL, Kind.QUALITY)]
    off = [r for r in quality if r.verdict.status not in GREEN]
    if off:
        raise BaselineError(
            f"{checkpoint} is not calibrated: {off[0].case} is {off[0].verdict.status.value} "
            f"({len(off)} such in all), and a regression can't be calibrated away; mend it or accept it first"
        )


def calibrate(
    baseline: Baseline,
    reference: Sequence[Record],
    runs: Mapping[str, Sequence[Record]],
    tolerances: Sequence[Tolerance],
    processor: str,
) -> list[Calibrated]:
    """Keep the noise floors of a checkpoint's cases in ``baseline``. Raises BaselineError, as :func:`check` does.

    ``processor`` is the one that they were measured on (:func:`harness.models.environment.processor`), and hold on.

    Deviations are measured from the unperturbed run, not from the stored values.
    """
    check(reference, baseline.checkpoint)
    out: list[Calibrated] = []
    for metric in calibrated():
        seen = _values(reference, baseline, metric)
        if not seen:
            continue
        digits = {case: noise_floor.resolution(baseline.cases[case][metric].value, DIGITS) for case in seen}
        try:
            found, worst = noise_floor.floors(
                seen, [_values(records, baseline, metric) for records in runs.values()], digits
            )
        except ValueError as error:
            raise BaselineError(f"{baseline.checkpoint} is not calibrated: {error}") from None
        capped: list[str] = []
        for case, floor in found.items():
            entry = baseline.cases[case][metric]
            baseline.cases[case][metric] = replace(entry, tolerance=rounded(floor.tolerance))
            allowed = tolerance_for(tolerances, case, metric)
            if allowed is not None and floor.tolerance > allowed.limit(entry.value):
                capped.append(case)
        ordered = sorted(floor.tolerance for floor in found.values())
        out.append(Calibrated(metric, len(found), worst, ordered[len(ordered) // 2], tuple(capped)))
    fingerprint = next(r.fingerprint for r in reference if r.checkpoint == baseline.checkpoint)
    baseline.calibration = Calibration(
        perturbations=tuple(runs),
        margin=noise_floor.MARGIN,
        max_t={c.metric: rounded(c.max_t) for c in out},
        processor=processor,
        capability=fingerprint.capability,
        threads=fingerprint.threads,
        versions=dict(fingerprint.versions),
    )
    return out


def _values(records: Sequence[Record], baseline: Baseline, metric: str) -> dict[str, float]:
    """The metric of every case that is stored."""
    return {
        r.case: r.measurement.summary[metric]
        for r in records
        if r.kind is Kind.QUALITY
        and r.checkpoint == baseline.checkpoint
        and r.measurement is not None
        and metric in baseline.cases.get(r.case, {})
    }

"""``--dit-calibrate``: the noise floor of a run's cases, from runs of the same cases under perturbations.

Every perturbed run is a pytest of its own, since an instruction set is chosen before torch is loaded. What comes
out is kept beside the stored values, and can only narrow what tolerances.toml allows.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BaselineError, HarnessError
from harness.gates.baselines import UNPERTURBED, Baseline, Calibration, Mode
from harness.gates.reference import Reference
from harness.gates.tolerances import Tolerance, tolerance_for
from harness.gates.update import update_noise_floors
from harness.gates.validation import noise_floor
from harness.gates.validation.perturbations import Perturbation, choose
from harness.gates.verdict import GREEN
from harness.interrupts import without_options
from harness.models.environment import processor
from harness.results.columns import in_order, is_count, latency_gated
from harness.results.fingerprint import Fingerprint
from harness.results.journal import read
from harness.results.records import Kind, Record
from harness.results.rounding import DIGITS, rounded

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol

_OWN_OPTIONS = ("--dit-calibrate", "--dit-run-id")  # those of this run that its repetitions don't take over


@dataclass(frozen=True)
class PytestRun:
    """The run that is calibrated: its ``arguments``, its run ``folder``, and the ``directory`` it was started in."""

    arguments: Sequence[str]
    folder: Path
    directory: Path


@dataclass(frozen=True)
class NoiseFloors:
    """The noise floors of one metric of one checkpoint.

    ``tolerances`` are what each case needs, ``max_t`` is the largest deviation of any case, in scales; ``capped`` are
    the cases that are noisier than tolerances.toml allows; ``modes`` are those with two values, and the second one.
    """

    metric: str
    tolerances: Mapping[str, float]
    max_t: float
    capped: tuple[str, ...]
    modes: Mapping[str, Mode] = field(default_factory=dict[str, Mode])

    def mode_lines(self) -> list[str]:
        """A line for each case with two values, which names the switch."""
        return [
            f"{self.metric} of {case} has a second value, {mode.value:.6g}, under {', '.join(mode.under)}; it is kept"
            for case, mode in self.modes.items()
        ]

    def __str__(self) -> str:
        ordered = sorted(self.tolerances.values())
        capped = f"; noisier than tolerances.toml allows: {', '.join(self.capped)}" if self.capped else ""
        return (
            f"{self.metric} of {len(ordered)} cases moves by at most {self.max_t:.3g} scales; "
            f"median tolerance {ordered[len(ordered) // 2]:.3g}{capped}"
        )


def perturbations_for(count: int, labs: Collection[LabProtocol]) -> list[Perturbation]:
    """The perturbations under which these labs are calibrated. Raises OptionError where there are fewer here."""
    batch = min(lab.checkpoint.settings.batch for lab in labs)
    return choose(count, os.cpu_count() or 1, batch, next(iter(labs)).fingerprint.capability)


def calibrate(
    count: int,
    run: PytestRun,
    records: Sequence[Record],
    labs: Mapping[str, LabProtocol],
    references: Mapping[str, Reference],
    say: Callable[[str], None],
) -> list[Path]:
    """Repeat a run under ``count`` perturbations and store the noise floors of its cases; the paths of the files.

    ``records`` are those of the run, ``labs`` and ``references`` its checkpoints by name; ``say`` takes lines for the
    terminal. Raises HarnessError where a case is off its baseline, so that a floor would hide something, where there
    are fewer perturbations on this machine, where a repetition breaks, and where a file can't be written.
    """
    for name in references:
        check(records, name)
    first = next(iter(labs.values()))
    perturbations = perturbations_for(count, labs.values())
    runs: dict[str, list[Record]] = {}
    for number, perturbation in enumerate(perturbations, start=1):
        say(f"calibrating, run {number} of {count}: {perturbation}")
        runs[str(perturbation)] = _repeat(run, perturbation)
    written: list[Path] = []
    for name, reference in references.items():
        assert reference.baseline is not None  # check() has seen a verdict
        floors = noise_floors(reference.baseline, records, runs, reference.tolerances)
        perturbed = {perturbation: _fingerprint(every, name) for perturbation, every in runs.items()}
        calibration = _calibration(floors, _fingerprint(records, name), perturbed, processor(first.device))
        tolerances, modes = {f.metric: f.tolerances for f in floors}, {f.metric: f.modes for f in floors}
        update_noise_floors(reference.baseline, tolerances, calibration, modes)
        written.append(reference.baseline.path)
        for line in floors:
            say(f"{name}: {line}")
            for mode in line.mode_lines():
                say(f"{name}: {mode}")
        if any(line.capped for line in floors):
            say(f"to allow that noise: python -m harness calibrate {run.folder} --suggest")
    return written


def _repeat(run: PytestRun, perturbation: Perturbation) -> list[Record]:
    """The records of the same cases under a perturbation. Raises HarnessError where that run breaks.

    Red cases are no break: that a legal change turns a gate red is what calibrating has to find out.
    """
    name = f"{run.folder.name}.{perturbation.kind}-{perturbation.value}"
    command = [sys.executable, "-m", "pytest", *arguments(run.arguments, perturbation, name, run.folder.parent)]
    log = run.folder / f"{perturbation.kind}-{perturbation.value}.log"
    with log.open("w", encoding="utf-8") as stream:
        code = subprocess.run(  # noqa: S603 - this very pytest, with the arguments it was started with
            command, cwd=run.directory, stdout=stream, stderr=subprocess.STDOUT, env=dict(os.environ), check=False
        ).returncode
    if code not in (0, 1):
        raise HarnessError(f"the run under {perturbation} ended with exit code {code}; see {log}")
    return read(run.folder.parent / name)


def arguments(original: Sequence[str], perturbation: Perturbation, run_id: str, reports: Path) -> list[str]:
    """Pytest's arguments for the same cases under a perturbation: no timings, a run folder of its own."""
    own = (f"--dit-perturb={perturbation}", f"--dit-run-id={run_id}", f"--dit-reports={reports}", "--benchmark-skip")
    return [*without_options(original, _OWN_OPTIONS), *own]


def check(records: Sequence[Record], checkpoint: str) -> None:
    """Raise BaselineError where a noise floor would hide something: the control or a case is off its baseline."""
    own = [r for r in records if r.checkpoint == checkpoint and r.kind in (Kind.CONTROL, Kind.QUALITY)]
    if not any(r.kind is Kind.CONTROL for r in own):
        raise BaselineError(
            f"{checkpoint} is not calibrated: its control did not run; run it with its control (without -k, say)"
        )
    off = [r for r in own if r.verdict.status not in GREEN]
    if off:
        raise BaselineError(
            f"{checkpoint} is not calibrated: {off[0].case} is {off[0].verdict.status.value} "
            f"({len(off)} such in all), and a regression can't be calibrated away; fix it or accept it first"
        )


def noise_floors(
    baseline: Baseline,
    records: Sequence[Record],
    runs: Mapping[str, Sequence[Record]],
    tolerances: Sequence[Tolerance],
) -> list[NoiseFloors]:
    """The noise floors of a baseline's cases, for each metric that is a gate and no count.

    Deviations are measured from the unperturbed ``records``, not from the stored values; ``runs`` are the perturbed
    ones. Raises BaselineError where a perturbed run lacks a case or holds a value that is not finite.
    """
    floors: list[NoiseFloors] = []
    stored = {metric for entries in baseline.cases.values() for metric in entries}
    for metric in in_order([name for name in stored if not is_count(name) and name not in latency_gated()]):
        values = {
            case: value
            for case, value in _values(records, baseline, metric).items()
            if tolerance_for(tolerances, case, metric) is not None
        }
        if not values:
            continue
        digits = {case: noise_floor.resolution(baseline.cases[case][metric].value, DIGITS) for case in values}
        perturbed = [_values(run, baseline, metric) for run in runs.values()]
        try:
            by_case, max_t = noise_floor.floors(values, perturbed, digits)
        except ValueError as error:
            raise BaselineError(f"{baseline.checkpoint} is not calibrated: {error}") from None
        needed = {case: floor.tolerance for case, floor in by_case.items()}
        capped = [case for case in needed if _is_capped(baseline, case, metric, needed[case], tolerances)]
        names = list(runs)
        modes = {
            case: Mode(rounded(floor.mode), tuple(names[number] for number in floor.switched))
            for case, floor in by_case.items()
            if floor.mode is not None
        }
        floors.append(NoiseFloors(metric, needed, max_t, tuple(capped), modes))
    return floors


def _is_capped(baseline: Baseline, case: str, metric: str, needed: float, tolerances: Sequence[Tolerance]) -> bool:
    allowed = tolerance_for(tolerances, case, metric)
    return allowed is not None and needed > allowed.limit(baseline.cases[case][metric].value)


def _calibration(
    floors: Sequence[NoiseFloors], fingerprint: Fingerprint, perturbed: Mapping[str, Fingerprint], measured_on: str
) -> Calibration:
    """What noise floors were measured under; they hold for the arithmetic of these runs only."""
    return Calibration(
        perturbations=tuple(perturbed),
        margin=noise_floor.MARGIN,
        max_t={f.metric: rounded(f.max_t) for f in floors},
        processor=measured_on,
        capability=fingerprint.capability,
        threads=fingerprint.threads,
        versions=dict(fingerprint.versions),
        arithmetic={UNPERTURBED: fingerprint.arithmetic, **{name: f.arithmetic for name, f in perturbed.items()}},
    )


def _fingerprint(records: Sequence[Record], checkpoint: str) -> Fingerprint:
    return next(r.fingerprint for r in records if r.checkpoint == checkpoint)


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

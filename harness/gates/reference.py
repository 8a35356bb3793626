"""The stored values that a checkpoint is compared with: which file, and whether it applies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import BaselineError
from harness.gates import baselines
from harness.gates.baselines import Baseline
from harness.gates.tolerances import Tolerance, load_tolerances
from harness.results.fingerprint import Fingerprint, incomparable


@dataclass(frozen=True)
class Reference:
    """What a checkpoint's values are compared with. ``baseline`` is None where there is no file.

    ``incomparable`` says why the stored values don't apply (other prompts, another judge): the verdict is
    then unjudged. ``exact`` is False where the file was measured on another device.
    """

    baseline: Baseline | None
    target: Path
    exact: bool
    tolerances: tuple[Tolerance, ...]
    incomparable: str = ""


def find_reference(folder: Path, fingerprint: Fingerprint, processor: str, *, updates: bool = False) -> Reference:
    """Find and read the baseline and the tolerances that apply; noise floors of another processor do not.

    ``processor`` is that of :func:`harness.models.environment.processor`.

    A run that updates looks only at the file that it will write. Raises BaselineError; also where an update
    would mix values that were measured differently into one file.
    """
    name, device, dtype = fingerprint.checkpoint, fingerprint.device, fingerprint.dtype
    target = folder / name / f"{device}-{dtype}.json"
    path, exact = baselines.choose_file(folder, name, device, dtype)
    toml = folder / "tolerances.toml"
    tolerances = tuple(load_tolerances(toml)) if toml.exists() else ()
    if path is None or (updates and not exact):
        return Reference(None, target, False, tolerances)
    baseline = baselines.load(path, name)
    if baseline.calibration is None or baseline.calibration.processor != processor:
        baseline = baselines.without_floors(baseline)
    other = incomparable(baseline.facts, fingerprint)
    if updates and other:
        raise BaselineError(f"{path} is not updated: this run is {other}; use the same, or move the file away")
    return Reference(baseline, target, exact, tolerances, other)

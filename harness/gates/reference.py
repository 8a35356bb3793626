"""The stored values that a checkpoint is compared with: which file, and whether it applies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.gates import baselines
from harness.gates.baselines import Baseline
from harness.gates.tolerances import Tolerance, load_tolerances
from harness.gates.update import UpdateMode, refuse_mixing
from harness.results.fingerprint import Fingerprint, incomparable

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol


@dataclass(frozen=True)
class Reference:
    """The stored values that a run is compared with. ``baseline`` is None where there is no file.

    ``target`` is the file that an update writes, ``exact`` False where the values were measured on another device.
    ``incomparable`` says why the stored values don't apply (other prompts, another judge, no images): the verdict is
    then unjudged. ``fingerprint`` is this run's.
    """

    baseline: Baseline | None
    target: Path
    exact: bool
    tolerances: tuple[Tolerance, ...]
    fingerprint: Fingerprint
    incomparable: str = ""

    def why_unjudged(self, update: UpdateMode | None = None) -> str:
        """Why nothing of this checkpoint can be compared with stored values; empty where it can."""
        if self.incomparable:
            return self.incomparable
        if self.baseline is None and update is None:
            return f"there is no {self.target.name} for this checkpoint"
        return ""


def find_reference(
    folder: Path, fingerprint: Fingerprint, processor: str, *, updates: bool = False, subfolder: str = ""
) -> Reference:
    """Find and read the baseline and the tolerances that apply; noise floors of another processor do not.

    ``processor`` is that of :func:`harness.models.environment.processor`. ``subfolder`` of the checkpoint's own folder
    holds other values than those of its cases (``analysis``).

    A run that ``updates`` looks only at the file that it will write. Raises BaselineError where a file can't be read,
    and where an update would mix values that were measured differently into one file.
    """
    target = baselines.file_of(folder, fingerprint.checkpoint, fingerprint.device, fingerprint.dtype, subfolder)
    path, exact = baselines.choose_file(target)
    toml = folder / "tolerances.toml"
    tolerances = tuple(load_tolerances(toml)) if toml.exists() else ()
    if path is None or (updates and not exact):
        return Reference(None, target, exact=False, tolerances=tolerances, fingerprint=fingerprint)
    baseline = baselines.load(path, fingerprint.checkpoint)
    if baseline.calibration is None or baseline.calibration.processor != processor:
        baseline = baselines.without_floors(baseline)
    if updates:
        refuse_mixing(path, baseline.facts, fingerprint)
    return Reference(baseline, target, exact, tolerances, fingerprint, incomparable(baseline.facts, fingerprint))


def stored_unit(wanted: Path, checkpoint: str) -> float | None:
    """The unit of harm in points that a baseline file, or one of another device beside it, holds; None without a file.

    Raises BaselineError where the file can't be read.
    """
    path, _ = baselines.choose_file(wanted)
    return None if path is None else baselines.load(path, checkpoint).seed_sd


def reference_for(lab: LabProtocol, folder: Path, *, updates: bool = False) -> Reference:
    """The reference of an open lab under a baselines folder; the lab takes the stored unit of harm.

    With the stored unit, a change of the control can't rescale every harm. Raises BaselineError as
    :func:`find_reference` does.
    """
    from harness.lab.lab import Lab  # here, since they load torch
    from harness.models.environment import processor

    if not isinstance(lab, Lab):
        return Reference(None, folder, False, (), lab.fingerprint, lab.no_images_reason)
    reference = find_reference(folder, lab.fingerprint, processor(lab.device), updates=updates)
    if reference.baseline is not None and not reference.incomparable:
        lab.fix_unit(reference.baseline.seed_sd)
    return reference

"""The stored values that a checkpoint is compared with: which file, whether it applies, and which tolerances do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.gates import baselines
from harness.gates.baselines import Baseline
from harness.gates.rigour import EXPLORE, Rigour
from harness.gates.tolerances import FILE, Tolerance, applying, tolerances_of
from harness.gates.update import refuse_mixing
from harness.results.fingerprint import Fingerprint, incomparable

if TYPE_CHECKING:
    from harness.lab.lab import Lab
    from harness.lab.protocol import LabProtocol


@dataclass(frozen=True)
class Reference:
    """The stored values that a run is compared with. ``baseline`` is None where there is no file.

    ``target`` is the file that an update writes, ``exact`` False where the values were measured on another device.
    ``incomparable`` says why the file doesn't apply (other prompts, another judge), ``no_images`` why there is nothing
    to compare at all; ``rigour`` which of that is red. ``fingerprint`` is this run's, ``tolerances`` are those of its
    dtype and device. ``no_floors`` says why the file's noise floors are not in force, empty where they are.
    """

    baseline: Baseline | None
    target: Path
    exact: bool
    tolerances: tuple[Tolerance, ...]
    fingerprint: Fingerprint
    incomparable: str = ""
    rigour: Rigour = Rigour.USUAL
    no_images: str = ""
    no_floors: str = ""

    def lines(self) -> list[str]:
        """What to say before the first test: why nothing is compared, or which tolerances are in force."""
        if self.no_images or self.baseline is None:
            return []
        if self.incomparable:
            how = "nothing is judged" if self.rigour is Rigour.LENIENT else f"every case fails ({EXPLORE})"
            return [f"{self.baseline.path.name} does not apply: {self.incomparable}; {how}"]
        hand = f"tolerances: {self.tolerances[0].file if self.tolerances else FILE}"
        how = f"{hand} alone; {self.no_floors}" if self.no_floors else f"{hand}, narrowed by the noise floors"
        stored = self.baseline.facts.weights if self.baseline.facts is not None else self.fingerprint.weights
        if stored == self.fingerprint.weights:
            return [how]
        other = f"{self.baseline.path.name} was measured with other weights ({stored}, here {self.fingerprint.weights})"
        return [f"{other}; if they are of another folder of this name, rename one: names are folders of baselines", how]


def find_reference(
    folder: Path,
    fingerprint: Fingerprint,
    *,
    updates: bool = False,
    subfolder: str = "",
    rigour: Rigour = Rigour.USUAL,
) -> Reference:
    """Find and read the baseline and the tolerances that apply; noise floors of another arithmetic do not.

    ``subfolder`` of the checkpoint's own folder holds other values than those of its cases (``analysis``).

    A run that ``updates`` looks only at the file that it will write. Raises BaselineError where a file can't be read,
    and where an update would mix values that were measured differently into one file.
    """
    target = baselines.file_of(folder, fingerprint.checkpoint, fingerprint.device, fingerprint.dtype, subfolder)
    path, exact = baselines.choose_file(target)
    tolerances = applying(tolerances_of(folder), dtype=fingerprint.dtype, device=fingerprint.device)
    if path is None or (updates and not exact):
        return Reference(None, target, exact=False, tolerances=tolerances, fingerprint=fingerprint, rigour=rigour)
    baseline = baselines.load(path, fingerprint.checkpoint, unsigned=updates)
    if updates:
        refuse_mixing(path, baseline.facts, fingerprint)
    no_floors = _why_no_floors(baseline, fingerprint)
    return Reference(
        baseline=baselines.without_floors(baseline) if no_floors else baseline,
        target=target,
        exact=exact,
        tolerances=tolerances,
        fingerprint=fingerprint,
        incomparable=incomparable(baseline.facts, fingerprint),
        rigour=rigour,
        no_floors=no_floors,
    )


def _why_no_floors(baseline: Baseline, fingerprint: Fingerprint) -> str:
    """Why the noise floors of a baseline are not in force in this run; empty where they are.

    They hold for the arithmetic of the runs that they were measured in, whatever the processor is called
    (:mod:`harness.models.arithmetic`): the unperturbed one, and each perturbed one.
    """
    calibration = baseline.calibration
    if calibration is None:
        return "no noise floors are stored (--dit-calibrate)"
    if not calibration.arithmetic:
        return "the noise floors were stored before their arithmetic was (--dit-calibrate again)"
    if fingerprint.arithmetic in calibration.arithmetic.values():
        return ""
    usual = calibration.arithmetic.get(baselines.UNPERTURBED, "?")
    return f"the noise floors are of other arithmetic ({usual}, here {fingerprint.arithmetic or 'not known'})"


def stored_unit(wanted: Path, checkpoint: str) -> float | None:
    """The unit of harm in points that a baseline file, or one of another device beside it, holds; None without a file.

    Raises BaselineError where the file can't be read.
    """
    path, _ = baselines.choose_file(wanted)
    return None if path is None else baselines.load(path, checkpoint, unsigned=True).seed_sd


def control_may_be_stored(wanted: Path) -> bool:
    """Whether a run with that baseline file may do with the control's images of the seeds that variants run on.

    Whether it does is known once the model is loaded (:func:`reference_for`).
    """
    _, exact = baselines.choose_file(wanted)
    return exact


def reference_for(
    lab: LabProtocol,
    folder: Path,
    *,
    updates: bool = False,
    rigour: Rigour = Rigour.USUAL,
    whole_control: bool = False,
) -> Reference:
    """The reference of an open lab under a baselines folder; the lab takes the stored unit of harm.

    With the stored unit, a change of the control can't rescale every harm. Unless the ``whole_control`` is asked for,
    the lab also takes the figures of the control over all seeds, where nothing that decides them has changed since
    they were stored. Raises BaselineError as :func:`find_reference` does.
    """
    from harness.lab.lab import Lab  # here, since it loads torch

    if not isinstance(lab, Lab):
        return Reference(None, folder, False, (), lab.fingerprint, no_images=lab.no_images_reason)
    reference = find_reference(folder, lab.fingerprint, updates=updates, rigour=rigour)
    if reference.baseline is not None and not reference.incomparable:
        lab.fix_unit(reference.baseline.seed_sd)
        if not (updates or whole_control) and _control_is_stored(reference, lab):
            assert reference.baseline.control is not None  # seed_sd is from there
            lab.take_control(reference.baseline.control.by_name)
    return reference


def _control_is_stored(reference: Reference, lab: Lab) -> bool:
    """Whether the stored figures of the control over all seeds hold for this run.

    Other weights or versions can change how far two seeds of a prompt are apart, and so can a metric's other model;
    another processor moves only last bits.
    """
    from harness.lab.control import are_enough  # as in reference_for

    baseline, now = reference.baseline, reference.fingerprint
    if baseline is None or baseline.facts is None or baseline.control is None or not reference.exact:
        return False
    stored = baseline.facts
    return (
        stored.weights == now.weights
        and dict(stored.versions) == dict(now.versions)
        and not now.perturbed
        and lab.metrics.need_seeds().items() <= stored.metrics.items()
        and are_enough(baseline.control.by_name, len(lab.prompts))
    )

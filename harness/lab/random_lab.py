"""The lab of a model with random weights: one forward for each variant, checked bitwise; it makes no images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from harness.ablation.guidance import GuidancePass
from harness.ablation.modifiers import PlacedModifier
from harness.ablation.plan import Plan
from harness.ablation.ranges import range_text
from harness.ablation.steps import Window
from harness.errors import CaseError, SurgeryError
from harness.lab.protocol import Forward, VariantRun
from harness.models import environment, loading
from harness.models.checkpoints.cases import plan_of
from harness.models.kernels import pinned
from harness.models.random_weights.checkpoint import NO_PASSES, NO_QUALITY, NO_STEPS, RandomCheckpoint
from harness.models.random_weights.inputs import arguments
from harness.models.random_weights.weights import build, digest
from harness.results.arrays import Images
from harness.results.fingerprint import Fingerprint
from harness.results.records import Measurement
from harness.surgery.trace import check_trace, traced
from harness.surgery.verify import prove_identity, prove_listed
from harness.surgery.view import ablate

# Settings that change one forward.
_SAMPLING = ("height", "width", "max_sequence_length", "guidance", "batch")
_NO_IMAGES = np.zeros((0, 3, 0, 0), dtype=np.uint8)


@dataclass(frozen=True)
class Output:
    """The transformer's output for a batch of B, (B, ...) in its dtype and on its device; ``images`` are none."""

    tensor: Tensor
    images: Images


class RandomLab:
    """Measures surgery, latency and memory of an architecture; see :class:`harness.lab.protocol.LabProtocol`.

    Raises CheckpointError where the model can't be built here.
    """

    no_images_reason = NO_QUALITY
    notes: tuple[str, ...] = ()

    def __init__(self, checkpoint: RandomCheckpoint, *, device: torch.device | None = None, seed: int = 0) -> None:
        self.checkpoint = checkpoint
        self.device = device or environment.pick_device(None)
        self.seed = seed
        dtype = loading.DTYPES[checkpoint.settings.dtype]
        self._arguments = arguments(checkpoint, self.device, dtype, seed)
        self.transformer = build(checkpoint, self.device, dtype, seed)
        self._proved: set[str] = set()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Everything that can change a number measured here. No judge and no prompts: there are no images."""
        return environment.fingerprint(
            self.checkpoint, self.device, _SAMPLING, weights=digest(self.checkpoint, self.seed)
        )

    @cached_property
    def control(self) -> Tensor:
        """The un-ablated model's output. Raises SurgeryError where it is not finite or doesn't come out twice."""
        with pinned():
            first, again = (self.transformer(**self._arguments)[0] for _ in range(2))
        _check_finite(first, "the un-ablated model")
        if not torch.equal(first, again):
            raise SurgeryError("the un-ablated model gives two outputs for one input: nothing can be proved of it here")
        return first

    def run(
        self,
        plan: Plan | str,
        stack: str | None = None,
        window: Window | None = None,
        *,
        modifiers: Sequence[PlacedModifier] = (),
        guidance_pass: GuidancePass | None = None,
    ) -> VariantRun[Output]:
        """One forward under a plan (or its text, which may name the stack), and the checks that it was applied.

        Checked are: the blocks that ran are the plan's; the view with every block gives bitwise the model's own output
        (once for each stack); a plan without groups gives bitwise what a model built of just these blocks gives, so
        that a skip is deletion; the output is finite and differs from the control's. Raises SurgeryError where one of
        them fails, PlanError or CaseError where the plan doesn't fit the checkpoint, and CaseError for a window of
        steps or a pass of guidance, since a single forward on random inputs has none, and for modifiers.
        """
        if window is not None:
            raise CaseError(f"{NO_STEPS}; leave out the window {range_text(*window)}")
        if guidance_pass is not None:
            raise CaseError(f"{NO_PASSES}; leave out the pass {str(guidance_pass)!r}")
        if modifiers:
            raise CaseError(f"modifier {str(modifiers[0])!r} changes how images are made, and {NO_QUALITY}")
        plan, stack = plan_of(self.checkpoint, plan, stack)
        control = self.control  # first: where the model itself is broken, no check of a variant means anything
        self.check_identity(stack)
        with pinned(), ablate(self.transformer, plan, stack), traced(self.transformer, stack) as ran:
            output = self.transformer(**self._arguments)[0]
        check_trace(ran, plan, stack)
        _check_finite(output, f"stack {stack!r} under the plan '{plan}'")
        if torch.equal(output, control):
            raise SurgeryError(f"stack {stack!r}: the plan '{plan}' changes nothing: it was not applied")
        listed = prove_listed(self.transformer, self._arguments, plan, stack, output)
        drift = _drift(output, control)
        measured = Measurement(
            n=len(drift),
            prompts=0,
            values={"output_drift": tuple(round(value, 6) for value in drift)},
            summary={"output_drift": sum(drift) / len(drift), "same_as_listed": float(listed)},
        )
        return VariantRun(measured, Output(output, _NO_IMAGES))

    def control_measurement(self) -> Measurement:
        """The size of the un-ablated model's output (root mean square an image)."""
        size = self.control.float().flatten(1).pow(2).mean(dim=1).sqrt().tolist()
        return Measurement(
            n=len(size),
            prompts=0,
            values={"output_rms": tuple(round(value, 6) for value in size)},
            summary={"output_rms": sum(size) / len(size)},
        )

    def control_images(self) -> Images:
        """No images: an array with N = 0."""
        return _NO_IMAGES

    def timed_forward(self) -> Forward:
        """The forward that every other method runs, too."""
        return Forward(self._arguments, self.checkpoint.settings.batch)

    @property
    def image_time(self) -> None:
        """None: random weights make no images."""

    def check_identity(self, stack: str) -> None:
        """Check once for each stack that the view gives bitwise the model's own output. Raises SurgeryError."""
        if stack not in self._proved:
            prove_identity(self.transformer, self._arguments, stack)
            self._proved.add(stack)


def _check_finite(output: Tensor, what: str) -> None:
    if not torch.isfinite(output).all():
        raise SurgeryError(f"{what}: the output is not finite")


def _drift(output: Tensor, control: Tensor) -> list[float]:
    """Per image, the L2 distance from the control's output over that output's norm."""
    a, b = output.float().flatten(1), control.float().flatten(1)
    return ((a - b).norm(dim=1) / b.norm(dim=1)).tolist()

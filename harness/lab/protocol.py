"""The interface of a lab that tests, timings and reports rely on: it makes images, or runs single forwards alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import nn

from harness.ablation.guidance import GuidancePass
from harness.ablation.modifiers import PlacedModifier
from harness.ablation.plan import Plan
from harness.ablation.steps import Window
from harness.models.checkpoints.resolve import Checkpoint
from harness.results.arrays import Images
from harness.results.fingerprint import Fingerprint
from harness.results.latency import ImageTime
from harness.results.records import Measurement


@dataclass(frozen=True)
class Forward:
    """The arguments of one forward of the transformer, as its pipeline passes them, for ``batch`` images."""

    arguments: Mapping[str, Any]
    batch: int


class HasImages(Protocol):
    """Anything with images, for the contact sheet."""

    @property
    def images(self) -> Images:
        """(N, 3, H, W) uint8; N is 0 where a lab makes no images."""
        ...


Output_co = TypeVar("Output_co", bound=HasImages, covariant=True)


class VariantRun(NamedTuple, Generic[Output_co]):
    """One run of a variant: its figures, and the images or tensors that they were computed from."""

    measurement: Measurement
    output: Output_co


class LabProtocol(Protocol):
    """One checkpoint on one device, and what can be measured of it."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint whose transformer is ablated."""
        ...

    @property
    def device(self) -> torch.device:
        """The device that the transformer runs on."""
        ...

    @property
    def transformer(self) -> nn.Module:
        """The model whose blocks are rearranged."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """Everything that can change a number measured here."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the prompts for the user, such as a prompt that a text encoder cuts off."""
        ...

    @property
    def no_images_reason(self) -> str:
        """Why this lab makes no images; empty where it makes them."""
        ...

    def run(
        self,
        plan: Plan,
        stack: str,
        window: Window | None = None,
        *,
        modifiers: Sequence[PlacedModifier] = (),
        guidance_pass: GuidancePass | None = None,
    ) -> VariantRun[HasImages]:
        """Measure a variant against the control; with a ``window``, the plan holds in those denoising steps only.

        With a ``guidance_pass`` it holds in that pass only. Raises SurgeryError where other blocks ran than the plan's
        or a modifier did nothing, CaseError for a window, a pass or modifiers that this lab doesn't have.
        """
        ...

    def control_measurement(self) -> Measurement:
        """The un-ablated model's own figures."""
        ...

    def control_images(self) -> Images:
        """The control's images of the prompts and the seed that variants run on; none where the lab makes none."""
        ...

    def timed_forward(self) -> Forward:
        """The forward that latency is measured on."""
        ...

    @property
    def image_time(self) -> ImageTime | None:
        """What an image takes beside its forwards, measured once; None where the lab makes no images."""
        ...

    def check_identity(self, stack: str) -> None:
        """Check that running every block through the view gives bitwise the model's own output. Raises SurgeryError."""
        ...

"""What a test, a timing and a report need of a lab, whether it makes images or only runs forwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from harness.ablation.plan import Plan
from harness.ablation.steps import Window
from harness.models.checkpoints.resolve import Checkpoint
from harness.results.arrays import Images
from harness.results.fingerprint import Fingerprint
from harness.results.records import Measurement


@dataclass(frozen=True)
class Forward:
    """The arguments of one forward of the transformer, as its pipeline passes them, for ``batch`` images."""

    arguments: Mapping[str, Any]
    batch: int


class HasImages(Protocol):
    """What was seen of a variant, as far as it can be shown."""

    @property
    def images(self) -> Images:
        """(N, 3, H, W); N is 0 where there are none."""
        ...


class LabProtocol(Protocol):
    """One checkpoint on one device, and what can be measured of it."""

    @property
    def checkpoint(self) -> Checkpoint:
        """What is ablated."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
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
        """What a user should know of how the prompts are read."""
        ...

    @property
    def no_images_reason(self) -> str:
        """Why no image can be made here, or nothing."""
        ...

    def run(self, plan: Plan, stack: str, window: Window | None = None) -> tuple[Measurement, HasImages]:
        """Measure a variant against the control; in a ``window``, its plan holds in those denoising steps alone.

        Raises SurgeryError where the plan did not take hold, CaseError for a window that this lab doesn't have.
        """
        ...

    def control_measurement(self) -> Measurement:
        """The un-ablated model's own figures."""
        ...

    def control_images(self) -> Images:
        """The control's images beside which a variant's are shown; none where there are none."""
        ...

    def timed_forward(self) -> Forward:
        """What is timed."""
        ...

    def check_identity(self, stack: str) -> None:
        """Prove that every block behind a slot gives the model's own output. Raises SurgeryError."""
        ...

"""The same schedule with fewer denoising steps: what every way of saving time has to beat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from harness.ablation.modifier import BARE
from harness.errors import SurgeryError
from harness.modifiers.base import Counts, ModifierRun, Target, refuse


class FewerSteps(ModifierRun):
    """As many denoising steps as asked for, of at most the control's; the pipeline lays its schedule over them."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._steps = target.parameters[BARE]
        if self._steps > target.sampler.settings.steps:
            raise refuse(target.placed, f"the control takes {target.sampler.settings.steps} denoising steps, no more")

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The sampler's number of steps replaced."""
        sampler = self.target.sampler
        before = sampler.settings
        sampler.settings = replace(before, steps=self._steps)
        try:
            yield
        finally:
            sampler.settings = before

    def check(self, counts: Counts) -> None:
        """The pipeline took the steps that were asked for, with at least one forward in each."""
        if counts.forwards < self._steps * counts.batches:
            raise SurgeryError(
                f"{self.target.placed}: {counts.forwards} forwards ran in {counts.batches} batches of {self._steps} "
                "denoising steps"
            )

"""Modifiers of which only a trial says whether a model takes them: one image, made once in a lab."""

from __future__ import annotations

import torch

from harness.errors import HarnessError, first_line
from harness.modifiers.base import ModifierRun, refuse


class ProbedRun(ModifierRun):
    """A modifier that makes one image before it is used; what diffusers raises then is said to be its refusal."""

    def calibrate(self) -> None:
        """Make one image of the first prompt. Raises CaseError with what diffusers or torch say against it."""
        placed = self.target.placed
        self.target.calibrations.of(("probed", str(placed)), self._try)

    def _try(self) -> bool:
        sampler = self.target.sampler
        try:
            with self.installed():
                sampler.sample(self.target.prompts[:1], 0, between=self.before_step)
        except (HarnessError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            kind, why = type(sampler.pipeline).__name__, first_line(error, with_type=not str(error))
            raise refuse(self.target.placed, f"{kind} can't run it: {why}") from error
        return True

"""Another of diffusers' schedulers in place of the pipeline's own, made from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import diffusers

from harness.errors import SurgeryError
from harness.modifiers.base import Counts
from harness.modifiers.probed import ProbedRun

# The class, and what it is told beside the configuration of the pipeline's own scheduler.
_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "lcm": ("FlowMatchLCMScheduler", {}),
    "dpm": ("DPMSolverMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
    "unipc": ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
}


class OtherScheduler(ProbedRun):
    """The scheduler of that name. Heun's evaluates the model twice a step, but for the last."""

    _stepped = 0
    _share: float | None = None

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The pipeline's scheduler replaced, its calls counted."""
        pipeline = self.target.sampler.pipeline
        before = pipeline.scheduler
        name, told = _CLASSES[self.target.placed.choice]
        scheduler = getattr(diffusers, name).from_config(before.config, **told)
        own = scheduler.step
        self._stepped = 0

        def step(*args: Any, **kwargs: Any) -> Any:
            self._stepped += 1
            return own(*args, **kwargs)

        scheduler.step = step
        pipeline.scheduler = scheduler
        try:
            yield
        finally:
            pipeline.scheduler = before

    def announced_steps(self, steps: int) -> int:
        """Heun's scheduler has each evaluation of the model as a step of its own."""
        return 2 * steps - 1 if self.target.placed.choice == "heun" else steps

    def counted_cost(self) -> float | None:
        """The steps over those that were asked for."""
        return self._share

    def check(self, counts: Counts) -> None:
        """It was asked for every step."""
        self._share = counts.steps / self.target.sampler.settings.steps
        if self._stepped != counts.steps * counts.batches:
            raise SurgeryError(
                f"{self.target.placed}: the scheduler made {self._stepped} steps in {counts.batches} batches of "
                f"{counts.steps}"
            )

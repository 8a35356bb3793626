"""One lab under study: everything that analyses and claims ask for, measured once when first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.case import over_stack
from harness.layers import Array, Profile, Velocity
from harness.plan import Plan
from harness.records import Measurement
from harness.statistics import by_prompt
from harness.strategies import Span, choose

if TYPE_CHECKING:
    from harness.lab import Lab
    from harness.metrics.judge import Features


class Study:
    """Measurements of one lab, kept by what was asked. Raises what the lab raises."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._runs: dict[tuple[str, str], Measurement] = {}

    @property
    def stacks(self) -> dict[str, int]:
        """Stack name -> number of blocks."""
        return dict(self.lab.checkpoint.stacks)

    def run(self, plan: Plan | str, stack: str | None = None) -> Measurement:
        """A variant's measurement; each plan is measured once."""
        made, stack = over_stack(self.lab.checkpoint.name, self.stacks, plan, stack)
        key = (stack, str(made.normal()))
        if key not in self._runs:
            self._runs[key] = self.lab.run(made, stack)[0]
        return self._runs[key]

    def ablate(self, stack: str, first: int, last: int, strategy: str) -> Measurement:
        """A variant by range and strategy, as in a case's id."""
        return self.run(choose(strategy).plan(self.stacks[stack], Span(first, last)), stack)

    def harm(self, measured: Measurement) -> Array:
        """(P,) harm of each prompt, in seed-to-seed sds of the control."""
        return by_prompt(measured.values["harm"], measured.prompts) / self.lab.seed_sd

    def single_skips(self, stack: str) -> list[Measurement]:
        """Skipping each block of a stack alone, in their order."""
        return [self.ablate(stack, block, block, "skip") for block in range(self.stacks[stack])]

    @cached_property
    def lost(self) -> Array:
        """(P,) harm of images that follow another prompt: what a model loses that doesn't listen at all.

        The control's own images, each scored against every other prompt.
        """
        first = self.lab.control.seeds[0]
        features: Features = first.features
        own = first.scores
        count = len(self.lab.prompts)
        other = np.zeros(count)
        for shift in range(1, count):
            turned = [self.lab.prompts[(i + shift) % count] for i in range(count)]
            other += self.lab.judge.score(features, turned)
        return np.asarray((own - other / (count - 1)) / self.lab.seed_sd, dtype=np.float64)

    @cached_property
    def trajectory(self) -> Profile:
        """The layers on the model's own sampling trajectory."""
        from harness.analysis.capture import on_trajectory

        return on_trajectory(self.lab.sampler, self.lab.checkpoint, self.lab.prompts)

    @cached_property
    def noised(self) -> Profile:
        """The layers on images noised to uniform levels: the bundled world's renderings, else the control's images."""
        from harness.analysis.noised import on_noised

        return on_noised(self.lab)

    @cached_property
    def velocities(self) -> dict[str, Velocity]:
        """By stack: the velocity error of skipping each block at each step."""
        from harness.analysis.velocity import velocity_maps

        return velocity_maps(self.lab)

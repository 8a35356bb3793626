"""One lab under study: everything that analyses and claims ask for, measured once when first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.ablation.case import over_stack
from harness.ablation.plan import Plan
from harness.ablation.ranges import Span
from harness.ablation.strategies import choose
from harness.analysis.image_drift import ImageDrift, moved, reseeds
from harness.analysis.profile import Profile, Velocity
from harness.results.arrays import Array
from harness.results.fingerprint import BaselineFacts, facts
from harness.results.records import Measurement
from harness.results.statistics import by_prompt

if TYPE_CHECKING:
    from harness.lab.lab import Lab
    from harness.results.arrays import Features


class Study:
    """Measurements of one lab, kept by what was asked. Raises what the lab raises."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._runs: dict[tuple[str, str], tuple[Measurement, ImageDrift]] = {}

    @property
    def name(self) -> str:
        """The checkpoint's name in ids."""
        return self.lab.checkpoint.name

    @property
    def family(self) -> str:
        """``flux``, ``sd3`` or ``auraflow``."""
        return self.lab.checkpoint.family.name

    @property
    def facts(self) -> BaselineFacts:
        """The circumstances of all that is measured, as a baseline file keeps them."""
        return facts(self.lab.fingerprint)

    @property
    def stacks(self) -> dict[str, int]:
        """Stack name -> number of blocks."""
        return dict(self.lab.checkpoint.stacks)

    def run(self, plan: Plan | str, stack: str | None = None) -> Measurement:
        """A variant's measurement; each plan is measured once."""
        return self._once(plan, stack)[0]

    def moved(self, plan: Plan | str, stack: str | None = None) -> ImageDrift:
        """(P,) squared drifts of layout and detail from the control's images, each in units of its own reseed."""
        seen = self._once(plan, stack)[1]
        layout, detail = (unit if unit > 0 else np.nan for unit in self.reseed)
        return ImageDrift(seen.layout / layout, seen.detail / detail)

    def _once(self, plan: Plan | str, stack: str | None) -> tuple[Measurement, ImageDrift]:
        made, stack = over_stack(self.name, self.stacks, plan, stack)
        key = (stack, str(made.normal()))
        if key not in self._runs:
            measured, seen = self.lab.run(made, stack)
            # The images go: what is kept of a variant is a few numbers for each prompt.
            self._runs[key] = (measured, moved(seen.images, self.lab.control_images()))
        return self._runs[key]

    @cached_property
    def reseed(self) -> tuple[float, float]:
        """Mean squared drift of layout and of detail between two seeds of one prompt of the control."""
        return reseeds([seen.images for seen in self.lab.control.seeds])

    def ablate(self, stack: str, first: int, last: int, strategy: str) -> Measurement:
        """A variant by range and strategy, as in a case's id."""
        return self.run(self.plan(stack, first, last, strategy), stack)

    def plan(self, stack: str, first: int, last: int, strategy: str) -> Plan:
        """The plan of a range and a strategy. Raises CaseError where they don't fit the stack."""
        return choose(strategy).plan(self.stacks[stack], Span(first, last))

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
    def others(self) -> dict[str, Study]:
        """By family, a bundled model's fellows with the same prompts on the same device; none of a real checkpoint."""
        from harness.lab.lab import Lab
        from harness.models.checkpoints.resolve import bundled_names

        names = bundled_names()
        fellows = [name for name in names if name != self.name] if self.name in names else []
        studies = [Study(Lab(name, prompts=self.lab.prompts, device=self.lab.device)) for name in fellows]
        return {study.family: study for study in studies}

    @cached_property
    def trajectory(self) -> Profile:
        """The layers on the model's own sampling trajectory."""
        from harness.analysis.capture import on_trajectory

        return on_trajectory(self.lab.sampler, self.lab.checkpoint, self.lab.prompts)

    @cached_property
    def noised(self) -> Profile:
        """The layers on images noised to uniform levels: the bundled world's renderings, else the control's images."""
        from harness.analysis.noised_images import on_noised

        return on_noised(self.lab)

    @cached_property
    def velocities(self) -> dict[str, Velocity]:
        """By stack: the velocity error of skipping each block at each step."""
        from harness.analysis.velocity import velocity_maps

        return velocity_maps(self.lab)

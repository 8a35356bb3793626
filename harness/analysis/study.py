"""Everything that analyses and claims need of one lab, each measured once, when it is first needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from harness.ablation.case import stack_length
from harness.ablation.plan import Plan
from harness.ablation.ranges import Span
from harness.ablation.strategies import choose
from harness.analysis.capture import on_trajectory
from harness.analysis.image_drift import ImageDrift, ReseedDrift, reseed_drift, squared_drift
from harness.analysis.noised_images import CaptionedImages, on_noised
from harness.analysis.profile import Profile, Velocity
from harness.analysis.velocity import velocity_maps
from harness.lab.lab import Lab
from harness.models.checkpoints.cases import plan_of
from harness.models.checkpoints.resolve import bundled_names
from harness.results.arrays import Array, Images
from harness.results.fingerprint import BaselineFacts, facts
from harness.results.records import Measurement
from harness.results.statistics import by_prompt
from harness.tiny import checker


class _VariantFigures(NamedTuple):
    """What is kept of a variant: a few numbers for each prompt, and no images."""

    measurement: Measurement
    drift: ImageDrift
    extra_objects: Array | None


class Study:
    """Measurements of one lab, cached. Raises what the lab raises.

    ``images`` with captions are those that are noised for the angular distances; without them,
    :func:`~harness.analysis.noised_images.on_noised` says which.
    """

    def __init__(self, lab: Lab, images: CaptionedImages | None = None) -> None:
        self.lab = lab
        self._images = images
        self._runs: dict[tuple[str, str], _VariantFigures] = {}

    @property
    def name(self) -> str:
        """The checkpoint's name in ids."""
        return self.lab.checkpoint.name

    @property
    def family(self) -> str:
        """The family's name in :mod:`harness.models.spec`."""
        return self.lab.checkpoint.family.name

    @property
    def facts(self) -> BaselineFacts:
        """The circumstances of all that is measured, as a baseline file keeps them; images of one's own are prompts."""
        own = facts(self.lab.fingerprint)
        return own if self._images is None else replace(own, prompts=f"{own.prompts}+{self._images.digest}")

    @property
    def stacks(self) -> dict[str, int]:
        """Stack name -> number of blocks."""
        return dict(self.lab.checkpoint.stacks)

    def stack_name(self, stack: str) -> str:
        """The name here of a stack, which may be called as diffusers calls it; another text as it is."""
        return self.lab.checkpoint.family.diffusers_names.get(stack, stack)

    @property
    def steps(self) -> int:
        """How many denoising steps a sampling takes."""
        return self.lab.sampler.settings.steps

    def run(self, plan: Plan | str, stack: str | None = None) -> Measurement:
        """A variant's measurement; each plan is measured once."""
        return self._once(plan, stack).measurement

    def image_drift(self, plan: Plan | str, stack: str | None = None) -> ImageDrift:
        """(P,) squared drift of layout and detail from the control's images, each in units of its own reseed drift."""
        drift = self._once(plan, stack).drift
        layout, detail = (unit if unit > 0 else np.nan for unit in self.reseed)
        return ImageDrift(drift.layout / layout, drift.detail / detail)

    def extra_objects(self, plan: Plan | str, stack: str | None = None) -> Array | None:
        """(P,) objects in a variant's image beyond those in the control's; None where nothing counts objects.

        Only the bundled world's are counted, exactly (:mod:`harness.tiny.checker`).
        """
        return self._once(plan, stack).extra_objects

    @property
    def counts_objects(self) -> bool:
        """Whether :meth:`extra_objects` can be had."""
        return checker.layouts_of(self.lab.checkpoint.settings, self.lab.prompts) is not None

    def _once(self, plan: Plan | str, stack: str | None) -> _VariantFigures:
        plan, stack = plan_of(self.lab.checkpoint, plan, stack)
        key = (stack, str(plan.normal()))
        if key not in self._runs:
            measurement, observation = self.lab.run(plan, stack)
            images, control = observation.images, self.lab.control_images()
            extra = _objects(images) - _objects(control) if self.counts_objects else None
            self._runs[key] = _VariantFigures(measurement, squared_drift(images, control), extra)
        return self._runs[key]

    @cached_property
    def reseed(self) -> ReseedDrift:
        """Mean squared drift of layout and of detail between two seeds of one prompt of the control."""
        return reseed_drift([observation.images for observation in self.lab.control_seeds()])

    def ablate(self, stack: str, first: int, last: int, strategy: str) -> Measurement:
        """A variant by range and strategy, as in a case's id."""
        return self.run(self.plan(stack, first, last, strategy), stack)

    def plan(self, stack: str, first: int, last: int, strategy: str) -> Plan:
        """The plan of a range and a strategy. Raises CaseError where they don't fit the stack."""
        length = stack_length(self.name, self.stacks, self.stack_name(stack))
        return choose(strategy).plan(length, Span(first, last))

    def harm(self, measured: Measurement) -> Array:
        """(P,) harm of each prompt, in seed-to-seed sds of the control."""
        return by_prompt(measured.values["harm"], measured.prompts) / self.lab.seed_sd

    def single_skips(self, stack: str) -> list[Measurement]:
        """Skipping each block of a stack alone, in their order."""
        stack = self.stack_name(stack)
        length = stack_length(self.name, self.stacks, stack)
        return [self.ablate(stack, block, block, "skip") for block in range(length)]

    @cached_property
    def prompt_ignoring_harm(self) -> Array:
        """(P,) harm, in seed-to-seed sds, of a model that ignores its prompt: the most alignment there is to lose."""
        return np.asarray(self.lab.prompt_ignoring_harm / self.lab.seed_sd, dtype=np.float64)

    @cached_property
    def others(self) -> dict[str, Study]:
        """The other bundled models by family, with the same prompts and device; none where this one isn't bundled."""
        names = bundled_names()
        others = [name for name in names if name != self.name] if self.name in names else []
        studies = [Study(Lab(name, prompts=self.lab.prompts, device=self.lab.device)) for name in others]
        return {study.family: study for study in studies}

    @cached_property
    def trajectory(self) -> Profile:
        """The layers' states on the model's own sampling trajectory."""
        return on_trajectory(self.lab.sampler, self.lab.checkpoint, self.lab.prompts)

    @cached_property
    def noised(self) -> Profile:
        """The layers' states on noised images."""
        own = self._images
        return on_noised(self.lab) if own is None else on_noised(self.lab, images=own.pixels, captions=own.captions)

    @cached_property
    def velocities(self) -> dict[str, Velocity]:
        """By stack: the velocity error of skipping each block at each step."""
        return velocity_maps(self.lab)


def _objects(images: Images) -> Array:
    """(N,) objects that each image of the bundled world shows."""
    return checker.read(images).count.astype(np.float64)

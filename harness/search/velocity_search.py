"""Errors of removals on a real model: velocity errors on a few prompts and steps of the control's trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.velocity import plan_errors
from harness.models.sampler import Sampler
from harness.search.evaluation import Measure
from harness.search.removals import Blocks, Removal


def velocity_measure(
    sampler: Sampler, lengths: Mapping[str, int], prompts: Sequence[str], steps: Sequence[int]
) -> Measure:
    """The mean relative velocity error over prompts and steps; the rough one is on every fourth prompt.

    Removals that are asked for together share the blocks that they begin with.
    """
    blocks = Blocks.alike(lengths)

    def measure(removals: Sequence[Removal], rough: bool) -> list[float]:
        plans = [blocks.plan(removal) for removal in removals]
        chosen = prompts[::4] if rough else prompts
        errors = plan_errors(sampler, chosen, plans, steps=steps).error
        return [float(error) for error in errors.mean(axis=(1, 2))]

    return measure

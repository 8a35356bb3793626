"""What a search found, on images: the harm of a removal with its interval."""

from __future__ import annotations

from harness.lab.lab import Lab
from harness.results.statistics import Interval, by_prompt, mean_interval
from harness.search.removals import Blocks, Removal


def harm_of(lab: Lab, blocks: Blocks, removal: Removal) -> Interval:
    """The mean harm of a removal over the lab's prompts, in points of the judge's score. Raises as ``Lab.run``."""
    measured = lab.run_stacks(blocks.plan(removal)).measurement
    return mean_interval(by_prompt(measured.values["harm"], measured.prompts))

"""What a search came to, on images: the harm of a candidate with its interval, and whether it can be saved."""

from __future__ import annotations

from harness.ablation.removals import Blocks
from harness.errors import ExportError
from harness.lab.lab import Lab
from harness.models.stacks import unwrap_compiled
from harness.results.statistics import Interval, by_prompt, mean_interval
from harness.search.candidates import Candidate, plans_of
from harness.surgery.pruning import chosen


def harm_of(lab: Lab, blocks: Blocks, candidate: Candidate) -> Interval:
    """The mean harm of a candidate over the lab's prompts, in points of the judge's score. Raises as ``Lab.run``."""
    measured = lab.run_stacks(plans_of(candidate, blocks)).measurement
    return mean_interval(by_prompt(measured.values["harm"], measured.prompts))


def why_not_exported(lab: Lab, blocks: Blocks, candidate: Candidate) -> str:
    """Why ``python -m harness export`` refuses a candidate, such as a repeated block; empty where it doesn't."""
    try:
        chosen(unwrap_compiled(lab.transformer), plans_of(candidate, blocks))
    except ExportError as error:
        return str(error)
    return ""

"""What a search is asked to save, and how much of it a candidate saves."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass

from harness.ablation.removals import ROUNDING, Blocks
from harness.search.candidates import Candidate, StackPlans


class Saving(enum.Enum):
    """What is saved, in words: runs of blocks, the time that those take, or parameters.

    A block that runs twice takes its time twice, and its parameters are there once: repeating one block in place of
    several saves no time, and the parameters of those that never run.
    """

    RUNS = "blocks"
    TIME = "of a forward's time"
    PARAMETERS = "of the parameters"

    @property
    def noun(self) -> str:
        """As what a strategy saves: ``block runs``."""
        return {Saving.RUNS: "block runs", Saving.TIME: "time", Saving.PARAMETERS: "parameters"}[self]


@dataclass(frozen=True)
class Goal:
    """What is to be saved: the share of each block, how much of it, what it is, and how much there is of it in all."""

    blocks: Blocks
    target: float
    saving: Saving
    total: float = 1.0

    def saved(self, candidate: Candidate) -> float:
        """How much a candidate saves; below 0 where it runs more blocks than the model does."""
        if not isinstance(candidate, StackPlans):
            return self.blocks.saved(candidate)
        runs = Counter(range(self.blocks.count))
        starts = self.blocks.starts
        for stack, plan in candidate.by_stack:
            for block in range(self.blocks.lengths[stack]):
                del runs[starts[stack] + block]
            runs.update(starts[stack] + block for block in plan.blocks())
        if self.saving is Saving.PARAMETERS:
            return self.blocks.saved(block for block in range(self.blocks.count) if not runs[block])
        return sum(share * (1 - runs[block]) for block, share in enumerate(self.blocks.shares))

    def reached_by(self, candidate: Candidate) -> bool:
        """Whether a candidate saves as much as is asked for."""
        return self.saved(candidate) >= self.target - ROUNDING

    def speed_up(self, candidate: Candidate) -> float:
        """How much faster a forward would be, were its time what the shares are shares of."""
        left = self.total - self.saved(candidate)
        return self.total / left if left > 0 else float("inf")

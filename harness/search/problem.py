"""What a selector is asked: the removal with the smallest error that saves enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from harness.ablation.removals import Blocks, Removal
from harness.errors import PlanError
from harness.search.evaluation import Evaluations


@dataclass
class Problem:
    """Find the removal with the smallest error that saves ``target``, in the unit of the blocks' shares.

    ``rng`` is what is left to chance. Raises PlanError where leaving out every block saves less than the target.
    """

    blocks: Blocks
    target: float
    errors: Evaluations
    rng: np.random.Generator

    def __post_init__(self) -> None:
        """Check that there is a solution."""
        everything = frozenset(range(self.blocks.count))
        if not self.blocks.reaches(everything, self.target):
            raise PlanError(
                f"no plan saves {self.target:.3g}: leaving out all {self.blocks.count} blocks saves "
                f"{self.blocks.saved(everything):.3g}"
            )

    def allowed(self, removal: Removal) -> bool:
        """Whether it saves enough, and no block of it could stay."""
        if not self.blocks.reaches(removal, self.target):
            return False
        return not any(self.blocks.reaches(removal - {block}, self.target) for block in removal)

    def single_errors(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """(L,) errors of leaving out each block alone. Raises Exhausted."""
        return np.array(self.errors([frozenset({block}) for block in range(self.blocks.count)]))

    def completed(self, chosen: Removal) -> Removal:
        """With other blocks left out at random until it saves enough, and without those that may stay then."""
        filled = self.filled(chosen, self.rng.permutation(self.blocks.count))
        return self.trimmed(filled, self.rng.random(self.blocks.count))

    def filled(self, chosen: Removal, order: Iterable[int]) -> Removal:
        """With blocks left out in that order until it saves enough."""
        for block in map(int, order):
            if self.blocks.reaches(chosen, self.target):
                break
            chosen |= {block}
        return chosen

    def trimmed(self, chosen: Removal, worth: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Removal:
        """Without the blocks that may stay, those first that cost most error for what they save."""
        for block in sorted(chosen, key=lambda block: (-worth[block], block)):
            if self.blocks.reaches(chosen - {block}, self.target):
                chosen -= {block}
        return chosen

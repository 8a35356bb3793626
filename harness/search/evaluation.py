"""How good candidates are, asked for in batches, each counted once: what a selector is given, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.ablation.removals import Removal
from harness.search.candidates import Candidate, StackPlans

# The errors of candidates, in their order; ``rough`` asks for a cheaper measure of the same, on fewer prompts.
Measure = Callable[[Sequence[Candidate], bool], Sequence[float]]


@dataclass
class Evaluations:
    """Errors by candidate, each measured once; ``budget`` is how many evaluations there may be (None: any number).

    One on fewer prompts counts as ``rough_cost`` of an evaluation. :class:`Exhausted` is raised, with nothing measured,
    by a request that goes beyond the budget.
    """

    measure: Measure
    budget: float | None = None
    rough_cost: float = 0.25
    fine: dict[Candidate, float] = field(default_factory=dict[Candidate, float])
    rough: dict[Candidate, float] = field(default_factory=dict[Candidate, float])
    spent: float = 0.0

    def __call__(self, candidates: Sequence[Candidate], *, rough: bool = False) -> list[float]:
        """The errors of some candidates; what was measured before costs nothing. Raises Exhausted."""
        known = self.rough if rough else self.fine
        missing = list(dict.fromkeys(candidate for candidate in candidates if candidate not in known))
        cost = len(missing) * (self.rough_cost if rough else 1.0)
        if self.budget is not None and self.spent + cost > self.budget:
            raise Exhausted
        if missing:
            known.update(zip(missing, self.measure(missing, rough), strict=True))
            self.spent += cost
        return [known[candidate] for candidate in candidates]

    @property
    def left(self) -> float:
        """How many evaluations the budget has left; infinite without one."""
        return math.inf if self.budget is None else self.budget - self.spent

    @property
    def removals(self) -> dict[Removal, float]:
        """The errors that were measured in full of sets of left-out blocks."""
        return {each: error for each, error in self.fine.items() if not isinstance(each, StackPlans)}

    def best(self, allowed: Callable[[Removal], bool]) -> Removal | None:
        """The removal with the smallest error among those that were measured in full and are allowed."""
        measured = [(error, sorted(removal), removal) for removal, error in self.removals.items() if allowed(removal)]
        return min(measured)[2] if measured else None


class Exhausted(Exception):  # noqa: N818 - no error: a search ends where its budget does
    """There is no budget for what was asked."""

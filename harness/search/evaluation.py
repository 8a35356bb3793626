"""How good removals are, asked for in batches, each counted once: what a selector is given, and what its cost is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.search.removals import Removal

# The errors of removals, in their order; ``rough`` asks for a cheaper measure of the same, on fewer prompts.
Measure = Callable[[Sequence[Removal], bool], Sequence[float]]


@dataclass
class Evaluations:
    """Errors by removal, each measured once; ``budget`` is how many evaluations there may be (None: any number).

    One on fewer prompts counts as ``rough_cost`` of an evaluation. :class:`Exhausted` is raised, with nothing measured,
    by a request that goes beyond the budget.
    """

    measure: Measure
    budget: float | None = None
    rough_cost: float = 0.25
    fine: dict[Removal, float] = field(default_factory=dict[Removal, float])
    rough: dict[Removal, float] = field(default_factory=dict[Removal, float])
    spent: float = 0.0

    def __call__(self, removals: Sequence[Removal], *, rough: bool = False) -> list[float]:
        """The errors of some removals; what was measured before costs nothing. Raises Exhausted."""
        known = self.rough if rough else self.fine
        missing = list(dict.fromkeys(removal for removal in removals if removal not in known))
        cost = len(missing) * (self.rough_cost if rough else 1.0)
        if self.budget is not None and self.spent + cost > self.budget:
            raise Exhausted
        if missing:
            known.update(zip(missing, self.measure(missing, rough), strict=True))
            self.spent += cost
        return [known[removal] for removal in removals]

    @property
    def left(self) -> float:
        """How many evaluations the budget has left; infinite without one."""
        return math.inf if self.budget is None else self.budget - self.spent

    def best(self, allowed: Callable[[Removal], bool]) -> Removal | None:
        """The removal with the smallest error among those that were measured in full and are allowed."""
        found = [(error, sorted(removal), removal) for removal, error in self.fine.items() if allowed(removal)]
        return min(found)[2] if found else None


class Exhausted(Exception):  # noqa: N818 - no error: a search ends where its budget does
    """There is no budget for what was asked."""

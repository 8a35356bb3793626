"""A whole search: at the saving that is asked for and at smaller ones, then the best sets of blocks on images.

Everything that is measured goes through a journal where there is one, so that the same search goes on where it was
stopped: what is there isn't measured again, and counts as if it had been, so that it takes the same course.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import HarnessError
from harness.results.statistics import Interval
from harness.search.evaluation import Evaluations, Exhausted, Measure
from harness.search.journal import Journal, MeasuredError, MeasuredHarm
from harness.search.problem import Problem
from harness.search.removals import Blocks, Removal
from harness.search.selectors import SELECTORS

_SMALLER_SHARE = 0.25  # of the evaluations, for each smaller saving


@dataclass(frozen=True)
class Goal:
    """What is to be saved: the share of each block, how much of it, its unit, and how much there is of it in all."""

    blocks: Blocks
    target: float
    unit: str
    total: float = 1.0

    def speed_up(self, removal: Removal) -> float:
        """How much faster a forward would be, were its time what the shares are shares of."""
        left = self.total - self.blocks.saved(removal)
        return self.total / left if left > 0 else float("inf")


@dataclass(frozen=True)
class FoundPlan:
    """A set of blocks that was run on images: its velocity error, and its harm in points of the judge's score.

    ``asked`` says that it saves what was asked for, ``front`` that no other one here is both less harmful and saves as
    much.
    """

    removal: Removal
    error: float
    harm: Interval
    asked: bool
    front: bool = False


@dataclass(frozen=True)
class SearchResult:
    """What a search came to: the sets that save what was asked for, the least harmful first, then those that save less.

    ``evaluations`` are what was spent, a rough one in its share; ``measured`` is the number of sets.
    """

    goal: Goal
    selector: str
    plans: tuple[FoundPlan, ...]
    evaluations: float
    measured: int


def remembered(measure: Measure, journal: Journal) -> Measure:
    """Errors from a journal where it has them; all others of a request are measured together and written to it."""

    def look_up(removals: Sequence[Removal], rough: bool) -> list[float]:
        missing = list(dict.fromkeys(r for r in removals if (r, rough) not in journal.errors))
        if missing:
            errors = measure(missing, rough)
            pairs = zip(missing, errors, strict=True)
            journal.append(MeasuredError(tuple(sorted(r)), rough, float(e)) for r, e in pairs)
        return [journal.errors[removal, rough] for removal in removals]

    return look_up


def remembered_harm(measure: Callable[[Removal], Interval], journal: Journal) -> Callable[[Removal], Interval]:
    """As :func:`remembered`, of the harm on images."""

    def look_up(removal: Removal) -> Interval:
        if removal not in journal.harms:
            harm = measure(removal)
            journal.append([MeasuredHarm(tuple(sorted(removal)), harm.value, harm.low, harm.high)])
        return journal.harms[removal].interval

    return look_up


def search(
    goal: Goal,
    selector: str,
    measure: Measure,
    harm: Callable[[Removal], Interval],
    *,
    evaluations: int,
    confirm: int,
    smaller: int,
    seed: int,
) -> SearchResult:
    """Search at ``smaller`` equally spaced savings below the target, then at the target, and run the best on images.

    Each smaller saving gets a quarter of ``evaluations``; NSGA-II, which searches at all savings at once, needs none
    of its own. ``confirm`` sets are run on images at the target, one at each smaller saving. Raises HarnessError where
    no removal saves the target, or where there are too few evaluations to find one.
    """
    rng = np.random.default_rng(seed)
    errors = Evaluations(measure)
    savings = [goal.target * (i + 1) / (smaller + 1) for i in range(smaller)]
    chosen_below: list[Removal | None] = [None] * len(savings)
    if selector != "nsga2":
        budget = _SMALLER_SHARE * evaluations
        chosen_below = [_searched(goal, saving, selector, errors, budget, rng)[0] for saving in savings]
    found, problem = _searched(goal, goal.target, selector, errors, evaluations, rng)
    asked = _best(problem, found, confirm)
    if not asked:
        raise HarnessError(
            f"{evaluations} evaluations are too few for the selector {selector!r} on {goal.blocks.count} blocks; give "
            "--evaluations more"
        )
    others: list[Removal] = []
    for saving, chosen in zip(savings, chosen_below, strict=True):
        # What was measured since may be better; a set that a sum chose may not have been measured at all.
        unmeasured = chosen if chosen not in errors.fine else None
        others += _best(Problem(goal.blocks, saving, errors, rng), unmeasured, 1)
    errors.budget = None  # what the selector returned may not have been measured in full
    removals = list(dict.fromkeys([*asked, *others]))
    plans = [
        FoundPlan(removal, error, harm(removal), goal.blocks.reaches(removal, goal.target))
        for removal, error in zip(removals, errors(removals), strict=True)
    ]
    plans.sort(key=lambda plan: (not plan.asked, plan.harm.value if plan.asked else -goal.blocks.saved(plan.removal)))
    return SearchResult(goal, selector, tuple(_with_front(plans, goal.blocks)), errors.spent, len(errors.fine))


def _searched(
    goal: Goal, saving: float, selector: str, errors: Evaluations, budget: float, rng: np.random.Generator
) -> tuple[Removal | None, Problem]:
    """What a selector comes to within so many evaluations more; None where they end before that."""
    errors.budget = errors.spent + budget
    problem = Problem(goal.blocks, saving, errors, rng)
    try:
        return SELECTORS[selector](problem), problem
    except Exhausted:
        return None, problem


def _best(problem: Problem, found: Removal | None, count: int) -> list[Removal]:
    """What the selector came to, then the best others that were measured and that save enough."""
    allowed = [removal for removal in problem.errors.fine if problem.allowed(removal)]
    ranked = sorted(allowed, key=lambda removal: (problem.errors.fine[removal], sorted(removal)))
    first = [] if found is None else [found]
    return list(dict.fromkeys([*first, *ranked]))[:count]


def _with_front(plans: Sequence[FoundPlan], blocks: Blocks) -> list[FoundPlan]:
    """The same plans, with those marked that no other one beats on harm and saving together."""
    points = [(plan.harm.value, -blocks.saved(plan.removal)) for plan in plans]

    def beaten(mine: tuple[float, float]) -> bool:
        return any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in points)

    return [replace(plan, front=not beaten(point)) for plan, point in zip(plans, points, strict=True)]

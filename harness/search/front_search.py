"""A whole search: at the saving that is asked for and at smaller ones, then the best candidates on images.

Everything that is measured goes through a journal where there is one, so that the same search goes on where it was
stopped: what is there isn't measured again, and counts as if it had been, so that it takes the same course.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.ablation.removals import Removal
from harness.ablation.strategies import ConfiguredStrategy
from harness.errors import HarnessError
from harness.results.statistics import Interval
from harness.search.candidates import Candidate
from harness.search.evaluation import Evaluations, Exhausted, Measure
from harness.search.goal import Goal
from harness.search.journal import Journal, Measured, MeasuredError, MeasuredHarm
from harness.search.problem import Problem
from harness.search.range_plans import RangePlan, least_saving_first, range_plans
from harness.search.selectors import SELECTORS

SKIP = "skip"  # the strategy of a set of left-out blocks
_SMALLER_SHARE = 0.25  # of the evaluations, for each smaller saving
_RANGES_SHARE = 0.5  # of the evaluations, for plans of strategies at most
_TOGETHER = 32  # of those in one walk: they share prefixes, and a killed search loses no more than one walk

HarmMeasure = Callable[[Candidate], Interval]


@dataclass(frozen=True)
class FoundPlan:
    """A candidate that was run on images: its velocity error, and its harm in points of the judge's score.

    ``strategy`` is the one that it was made by, ``skip`` for a set of left-out blocks. ``asked`` says that it saves
    what was asked for, ``front`` that no other one here is both less harmful and saves as much.
    """

    candidate: Candidate
    error: float
    harm: Interval
    asked: bool
    front: bool = False
    strategy: str = SKIP


@dataclass(frozen=True)
class SearchResult:
    """What a search came to: the plans that save what was asked for, the least harmful first, then those of less.

    ``evaluations`` are what was spent, a rough one in its share; ``measured`` is the number of sets of left-out blocks.
    ``strategies`` were asked for beside those; of ``range_plans`` of theirs, ``range_plans_measured`` were measured.
    """

    goal: Goal
    selector: str
    plans: tuple[FoundPlan, ...]
    evaluations: float
    measured: int
    strategies: tuple[str, ...] = ()
    range_plans: int = 0
    range_plans_measured: int = 0


def remembered(measure: Measure, journal: Journal) -> Measure:
    """Errors from a journal where it has them; all others of a request are measured together and written to it."""

    def look_up(candidates: Sequence[Candidate], rough: bool) -> list[float]:
        missing = list(dict.fromkeys(each for each in candidates if (each, rough) not in journal.errors))
        if missing:
            pairs = zip(missing, measure(missing, rough), strict=True)
            journal.append(Measured(each, MeasuredError(rough, float(error))) for each, error in pairs)
        return [journal.errors[candidate, rough] for candidate in candidates]

    return look_up


def remembered_harm(measure: HarmMeasure, journal: Journal) -> HarmMeasure:
    """As :func:`remembered`, of the harm on images."""

    def look_up(candidate: Candidate) -> Interval:
        if candidate not in journal.harms:
            harm = measure(candidate)
            journal.append([Measured(candidate, MeasuredHarm(harm.value, harm.low, harm.high))])
        return journal.harms[candidate].interval

    return look_up


def search(
    goal: Goal,
    selector: str,
    measure: Measure,
    harm: HarmMeasure,
    *,
    evaluations: int,
    confirm: int,
    smaller: int,
    seed: int,
    strategies: Sequence[ConfiguredStrategy] = (),
) -> SearchResult:
    """Search at ``smaller`` equally spaced savings below the target, then at the target, and run the best on images.

    The plans of ``strategies`` that save the target are measured first, all of them where half of ``evaluations`` are
    enough, else those that save least above it; the selector has the other evaluations for sets of left-out blocks, and
    what it leaves goes to more of those plans. Each smaller saving gets a quarter of ``evaluations`` more; NSGA-II,
    which searches at all savings at once, needs none of its own. On images are run ``confirm`` sets at the target,
    ``confirm`` plans of strategies, and one set at each smaller saving. Raises HarnessError where no removal, or no
    range under one of the strategies, saves the target, or where there are too few evaluations to find a removal.
    """
    rng = np.random.default_rng(seed)
    errors = Evaluations(measure)
    every_range = least_saving_first(goal, range_plans(goal, strategies))
    on_ranges = every_range[: int(evaluations * _RANGES_SHARE)]
    _measure(on_ranges, errors)
    for_selector = evaluations - errors.spent
    savings = [goal.target * (i + 1) / (smaller + 1) for i in range(smaller)]
    chosen_below: list[Removal | None] = [None] * len(savings)
    if selector != "nsga2":
        budget = _SMALLER_SHARE * evaluations
        chosen_below = [_searched(goal, saving, selector, errors, budget, rng)[0] for saving in savings]
    found, problem = _searched(goal, goal.target, selector, errors, for_selector, rng)
    more_ranges = every_range[len(on_ranges) :][: int(errors.left)]
    errors.budget = None
    _measure(more_ranges, errors)
    on_ranges += more_ranges
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
    best_ranges = sorted(on_ranges, key=lambda plan: errors.fine[plan.candidate])[:confirm]
    strategy_of: dict[Candidate, str] = {plan.candidate: plan.strategy for plan in best_ranges}
    candidates: list[Candidate] = list(dict.fromkeys([*asked, *strategy_of, *others]))
    plans = [
        FoundPlan(each, error, harm(each), goal.reached_by(each), strategy=strategy_of.get(each, SKIP))
        for each, error in zip(candidates, errors(candidates), strict=True)
    ]
    plans.sort(key=lambda plan: (not plan.asked, plan.harm.value if plan.asked else -goal.saved(plan.candidate)))
    return SearchResult(
        goal,
        selector,
        tuple(_with_front(plans, goal)),
        errors.spent,
        len(errors.removals),
        tuple(map(str, strategies)),
        len(every_range),
        len(on_ranges),
    )


def _measure(plans: Sequence[RangePlan], errors: Evaluations) -> None:
    """Measure plans on ranges, those of neighbouring ranges together."""
    ordered = sorted(plans, key=lambda plan: (plan.stack, plan.span, plan.strategy))
    for start in range(0, len(ordered), _TOGETHER):
        errors([plan.candidate for plan in ordered[start : start + _TOGETHER]])


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
    allowed = [removal for removal in problem.errors.removals if problem.allowed(removal)]
    ranked = sorted(allowed, key=lambda removal: (problem.errors.fine[removal], sorted(removal)))
    first = [] if found is None else [found]
    return list(dict.fromkeys([*first, *ranked]))[:count]


def _with_front(plans: Sequence[FoundPlan], goal: Goal) -> list[FoundPlan]:
    """The same plans, with those marked that no other one beats on harm and saving together."""
    # Rounded: the same shares summed in another order differ in their last digit.
    points = [(plan.harm.value, -round(goal.saved(plan.candidate), 9)) for plan in plans]

    def beaten(mine: tuple[float, float]) -> bool:
        return any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in points)

    return [replace(plan, front=not beaten(point)) for plan, point in zip(plans, points, strict=True)]

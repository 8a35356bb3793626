"""Plans of strategies on ranges as candidates: every range of every stack on which a strategy saves what is asked for.

There are L (L + 1) / 2 ranges in a stack of L blocks, few enough to measure all of them: what selectors are for is
sets of left-out blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.ablation.plan import Plan
from harness.ablation.ranges import Span
from harness.ablation.removals import Blocks
from harness.ablation.strategies import ConfiguredStrategy, choose, names
from harness.errors import HarnessError, PlanError
from harness.search.candidates import Candidate, candidate_of
from harness.search.goal import Goal, Saving


@dataclass(frozen=True)
class RangePlan:
    """A strategy, such as ``repeat``, on one range of one stack, as the candidate that it is."""

    strategy: str
    stack: str
    span: Span
    candidate: Candidate


def range_plans(goal: Goal, strategies: Sequence[ConfiguredStrategy]) -> list[RangePlan]:
    """The plans that save what is asked for, each once, in the order of strategies, stacks and ranges.

    Raises PlanError for a strategy that reaches the goal on no range, saying how far it comes.
    """
    by_candidate: dict[Candidate, RangePlan] = {}
    for strategy in strategies:
        everywhere = list(_on_every_range(goal.blocks, strategy))
        reaching = [plan for plan in everywhere if goal.reached_by(plan.candidate)]
        if not reaching:
            raise PlanError(_why_not(goal, strategy, everywhere))
        for plan in reaching:
            by_candidate.setdefault(plan.candidate, plan)
    return list(by_candidate.values())


def least_saving_first(goal: Goal, plans: Sequence[RangePlan]) -> list[RangePlan]:
    """The order in which plans that all reach the goal are measured where not all can be.

    A plan that saves more than it must is rarely the least harmful one: a shorter range changes less.
    """
    return sorted(plans, key=lambda plan: goal.saved(plan.candidate))


def check_saves(strategies: Sequence[ConfiguredStrategy], lengths: Mapping[str, int], saving: Saving) -> None:
    """Raise PlanError where a strategy saves nothing on any range, naming those that do; no shares are needed."""
    goal = Goal(Blocks.alike(lengths), 0.0, saving)
    for strategy in strategies:
        if not _saves(goal, strategy):
            raise PlanError(
                f"strategy {str(strategy)!r} saves no {saving.noun} on any range; of all strategies, "
                f"{', '.join(_that_save(goal))} do"
            )


def _on_every_range(blocks: Blocks, strategy: ConfiguredStrategy) -> Iterator[RangePlan]:
    """A strategy's plans over all stacks, those left out that change nothing."""
    for stack, length in blocks.lengths.items():
        for first in range(length):
            for last in range(first + strategy.strategy.least - 1, length):
                span = Span(first, last)
                plan: Plan = strategy.plan(length, span)
                if not plan.is_identity(length):
                    yield RangePlan(str(strategy), stack, span, candidate_of({stack: plan}, blocks))


def _saves(goal: Goal, strategy: ConfiguredStrategy) -> bool:
    return any(goal.saved(plan.candidate) > 0 for plan in _on_every_range(goal.blocks, strategy))


def _that_save(goal: Goal) -> list[str]:
    """The strategies that save anything; one of another package that fails saves nothing."""
    saving: list[str] = []
    for name in names():
        try:
            if _saves(goal, choose(name)):
                saving.append(name)
        except HarnessError:
            continue
    return saving


def _why_not(goal: Goal, strategy: ConfiguredStrategy, everywhere: Sequence[RangePlan]) -> str:
    asked = f"strategy {str(strategy)!r} saves {goal.target:.3g} {goal.saving.value} on no range"
    if not everywhere:
        return f"{asked}: no stack has {strategy.strategy.least} blocks"
    most = max(everywhere, key=lambda plan: goal.saved(plan.candidate))
    return (
        f"{asked}, at most {goal.saved(most.candidate):.3g} (stack {most.stack!r}, range {most.span}); of all "
        f"strategies, {', '.join(_that_save(goal))} save {goal.saving.noun}"
    )

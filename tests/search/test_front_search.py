"""A whole search: what it confirms, its front, and that it takes the same course again without measuring anything."""

from __future__ import annotations

import pytest

from harness.ablation.removals import Blocks, mask_of
from harness.ablation.strategies import choose
from harness.errors import HarnessError
from harness.results.statistics import Interval
from harness.search.candidates import StackPlans
from harness.search.front_search import remembered, remembered_harm, search
from harness.search.goal import Goal, Saving
from harness.search.journal import MeasuredOn, open_journal
from tests.helpers.records import quality

ON = MeasuredOn(quality("skip", 1.0).fingerprint, (0,), (1,))


def goal(truth, target=4.0):
    return Goal(truth.blocks, target, Saving.RUNS, 9.0)


def harm_by(truth):
    return lambda removal: Interval(100 * truth.fine[mask_of(removal)], 0.0, 200.0)


def run(truth, selector="evolution", **changed):
    settings = {"evaluations": 100, "confirm": 3, "smaller": 2, "seed": 0} | changed
    return search(goal(truth), selector, truth.measure, harm_by(truth), **settings)


@pytest.mark.parametrize("selector", ["greedy", "evolution", "nsga2"])
def test_the_best_at_the_target_and_at_smaller_savings_are_run_on_images(truth, selector):
    if selector == "nsga2":
        pytest.importorskip("pymoo", reason="an extra")
    result = run(truth, selector)
    asked = [plan for plan in result.plans if plan.asked]
    others = [plan for plan in result.plans if not plan.asked]
    assert [len(plan.candidate) for plan in asked] == [4, 4, 4]
    assert [plan.harm.value for plan in asked] == sorted(plan.harm.value for plan in asked)
    assert [len(plan.candidate) for plan in others] == [3, 2]
    assert result.plans[: len(asked)] == tuple(asked)
    assert result.evaluations <= 100 + 2 * 25
    for plan in result.plans:
        assert plan.error == truth.fine[mask_of(plan.candidate)]


def test_the_front_is_what_no_other_plan_beats(truth):
    plans = run(truth).plans
    for plan in plans:
        beaten = [
            other
            for other in plans
            if other is not plan and other.harm.value <= plan.harm.value and len(other.candidate) >= len(plan.candidate)
        ]
        assert plan.front == (not beaten)
    assert plans[0].front


def test_the_same_search_goes_on_from_its_journal_without_measuring_anything(truth, tmp_path):
    counted = []

    def measure(removals, rough):
        counted.append(len(removals))
        return truth.measure(removals, rough)

    def harm(removal):
        counted.append(1)
        return harm_by(truth)(removal)

    def again(limit=None):
        journal = open_journal(tmp_path / "search.jsonl", ON)

        def stopping(removals, rough):
            if limit is not None and len(counted) >= limit:
                raise KeyboardInterrupt
            return measure(removals, rough)

        return search(
            goal(truth),
            "evolution",
            remembered(stopping, journal),
            remembered_harm(harm, journal),
            evaluations=100,
            confirm=2,
            smaller=1,
            seed=3,
        )

    with pytest.raises(KeyboardInterrupt):
        again(limit=4)
    assert len(counted) == 4
    first = again()
    whole = list(counted)
    assert again() == first
    assert counted == whole
    uninterrupted = run(truth, confirm=2, smaller=1, seed=3)
    assert uninterrupted == first


def test_too_few_evaluations_are_one_line(truth):
    with pytest.raises(HarnessError, match="3 evaluations are too few for the selector 'evolution' on 9 blocks"):
        run(truth, evaluations=3)


def shared(target=0.3):
    """A goal of parameters, which repeating a block saves, too: 30 % are 3 of 9 blocks, and so ranges of 4 and more."""
    return Goal(Blocks({"double": 3, "single": 6}, (0.1,) * 9), target, Saving.PARAMETERS)


class Model:
    """Errors and harms of a table for removals, and of a rule for plans of strategies; and what was asked for."""

    def __init__(self, truth):
        self.truth, self.plans, self.removals, self.harms = truth, [], [], []

    def error(self, candidate):
        if isinstance(candidate, StackPlans):
            ((_, plan),) = candidate.by_stack
            return 0.01 * sum(plan.blocks())
        return self.truth.fine[mask_of(candidate)]

    def measure(self, candidates, rough):
        for candidate in candidates:
            (self.plans if isinstance(candidate, StackPlans) else self.removals).append(candidate)
        return [self.error(candidate) for candidate in candidates]

    def harm(self, candidate):
        self.harms.append(candidate)
        return Interval(100 * self.error(candidate), 0.0, 200.0)

    def search(self, journal=None, strategies=("repeat",), goal=None, **changed):
        settings = {"evaluations": 100, "confirm": 2, "smaller": 1, "seed": 0} | changed
        measure = self.measure if journal is None else remembered(self.measure, journal)
        harm = self.harm if journal is None else remembered_harm(self.harm, journal)
        chosen = [choose(text) for text in strategies]
        return search(goal or shared(), "evolution", measure, harm, strategies=chosen, **settings)


def test_plans_of_strategies_stand_beside_the_sets_of_skips(truth):
    model = Model(truth)
    result = model.search()
    assert len(model.plans) == 3 + 2 + 1  # ranges of 4, 5 and 6 of six blocks; three double blocks save too little
    assert (result.range_plans, result.range_plans_measured, result.strategies) == (6, 6, ("repeat",))
    asked = [plan for plan in result.plans if plan.asked]
    assert sorted(plan.strategy for plan in asked) == ["repeat", "repeat", "skip", "skip"]
    assert [plan.harm.value for plan in asked] == sorted(plan.harm.value for plan in asked)
    best = sorted(model.plans, key=model.error)[:2]
    assert {plan.candidate for plan in asked if plan.strategy == "repeat"} == set(best)
    assert len(model.plans) < result.evaluations <= 125
    for plan in result.plans:
        beaten = [
            other
            for other in result.plans
            if (other.harm.value, -shared().saved(other.candidate))
            != (plan.harm.value, -shared().saved(plan.candidate))
            and other.harm.value <= plan.harm.value
            and shared().saved(other.candidate) >= shared().saved(plan.candidate)
        ]
        assert plan.front == (not beaten)


def test_where_evaluations_are_few_the_plans_that_save_least_are_measured(truth):
    goal = shared(target=0.1)
    every = Model(truth)
    every.search(goal=goal, evaluations=200)
    assert len(every.plans) == 2 + 1 + 5 + 4 + 3 + 2 + 1
    few = Model(truth)
    result = few.search(goal=goal, evaluations=22, strategies=("repeat",))
    assert (result.range_plans, result.range_plans_measured) == (18, len(few.plans))
    assert 11 <= len(few.plans) < 18
    assert result.evaluations <= 22 + 22 / 4
    ranked = sorted(map(goal.saved, every.plans))
    assert sorted(map(goal.saved, few.plans)) == pytest.approx(ranked[: len(few.plans)])


def test_a_journal_without_strategies_is_gone_on_with(truth, tmp_path):
    def journal():
        return open_journal(tmp_path / "search.jsonl", ON)

    before = Model(truth).search(journal(), strategies=())
    after = Model(truth)
    result = after.search(journal())
    assert not after.removals
    assert len(after.plans) == 6
    assert set(after.harms) == {plan.candidate for plan in result.plans if plan.strategy == "repeat"}
    assert {plan.candidate for plan in result.plans} >= {plan.candidate for plan in before.plans if plan.asked}
    again = Model(truth)
    assert again.search(journal()) == result
    assert not again.plans + again.removals + again.harms
    assert Model(truth).search() == result


def test_ranges_of_skips_are_sets_of_blocks_and_counted_once(truth):
    goal = Goal(Blocks.alike({"double": 3, "single": 6}), 3.0, Saving.RUNS, 9.0)
    model = Model(truth)
    result = model.search(goal=goal, strategies=("skip",))
    assert not model.plans
    assert result.range_plans == 1 + 4 + 3 + 2 + 1
    assert {plan.strategy for plan in result.plans} == {"skip"}


def test_of_two_plans_that_save_the_same_the_more_harmful_one_is_not_on_the_front(truth):
    """Their savings are sums of the same shares in another order, which may differ in the last digit."""
    shares = (0.1, 0.2, 0.3) * 3
    goal = Goal(Blocks(truth.about.lengths, shares), 0.6, Saving.TIME)
    model = Model(truth)
    plans = model.search(goal=goal, strategies=(), confirm=40, evaluations=200, smaller=0).plans
    sums = {goal.saved(plan.candidate) for plan in plans}
    assert len(sums) > len({round(each, 9) for each in sums})
    front = [plan for plan in plans if plan.front]
    assert len({round(goal.saved(plan.candidate), 9) for plan in front}) == len(front)

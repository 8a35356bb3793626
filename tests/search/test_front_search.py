"""A whole search: what it confirms, its front, and that it takes the same course again without measuring anything."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError
from harness.results.statistics import Interval
from harness.search.front_search import Goal, remembered, remembered_harm, search
from harness.search.journal import MeasuredOn, open_journal
from harness.search.removals import Blocks, mask_of
from tests.helpers.records import quality

ON = MeasuredOn(quality("skip", 1.0).fingerprint, (0,), (1,))


def goal(truth, target=4.0):
    return Goal(truth.blocks, target, "blocks", 9.0)


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
    assert [len(plan.removal) for plan in asked] == [4, 4, 4]
    assert [plan.harm.value for plan in asked] == sorted(plan.harm.value for plan in asked)
    assert [len(plan.removal) for plan in others] == [3, 2]
    assert result.plans[: len(asked)] == tuple(asked)
    assert result.evaluations <= 100 + 2 * 25
    for plan in result.plans:
        assert plan.error == truth.fine[mask_of(plan.removal)]


def test_the_front_is_what_no_other_plan_beats(truth):
    plans = run(truth).plans
    for plan in plans:
        beaten = [
            other
            for other in plans
            if other is not plan and other.harm.value <= plan.harm.value and len(other.removal) >= len(plan.removal)
        ]
        assert plan.front == (not beaten)
    assert plans[0].front


def test_a_speed_up_is_the_inverse_of_what_is_left(truth):
    assert goal(truth).speed_up({0, 1, 2}) == pytest.approx(9 / 6)
    assert goal(truth).speed_up(range(9)) == float("inf")
    timed = Goal(Blocks(truth.about.lengths, (0.1,) * 9), 0.2, "of a forward's time")
    assert timed.speed_up({0, 5}) == pytest.approx(1.25)


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

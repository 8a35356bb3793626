"""Every selector returns a removal that saves enough; where errors add up, those that suppose so find the best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ablation.removals import Blocks, all_removals
from harness.errors import PlanError
from harness.search.evaluation import Evaluations, Exhausted
from harness.search.problem import Problem
from harness.search.selectors import SELECTORS, greedy, knapsack, one_shot
from tests.helpers.truths import LENGTHS, table

TRUTH = table(LENGTHS)


def problem(truth, target, budget=None, shares=None, seed=0):
    blocks = Blocks(truth.about.lengths, shares or (1.0,) * sum(truth.about.lengths.values()))
    return Problem(blocks, target, Evaluations(truth.measure, budget), np.random.default_rng(seed))


def best_of(truth, posed):
    everything = [r for r in all_removals(posed.blocks.count) if posed.blocks.reaches(r, posed.target)]
    return min(Evaluations(truth.measure)(everything))


@pytest.mark.parametrize("name", SELECTORS)
@settings(max_examples=25, deadline=None)
@given(target=st.floats(0.5, 8.9), seed=st.integers(0, 99), unequal=st.booleans())
def test_what_is_found_saves_enough_and_nothing_in_it_could_stay(name, target, seed, unequal):
    shares = (2.0,) * 3 + (0.6,) * 6 if unequal else (1.0,) * 9
    if name == "nsga2":
        pytest.importorskip("pymoo", reason="an extra")
    posed = problem(TRUTH, target, budget=400, shares=shares, seed=seed)
    found = SELECTORS[name](posed)
    assert posed.allowed(found)
    assert posed.errors.spent <= 400


@pytest.mark.parametrize("size", range(1, 9))
def test_where_errors_add_up_sums_find_the_best(additive, size):
    for selector in (one_shot, knapsack, greedy):
        posed = problem(additive, size)
        assert posed.errors([selector(posed)])[0] == pytest.approx(best_of(additive, posed))


@settings(max_examples=30, deadline=None)
@given(st.floats(1.0, 9.0))
def test_a_knapsack_is_the_best_sum_where_blocks_differ_in_cost(target):
    truth = table(LENGTHS, interaction=0.0)
    posed = problem(truth, target, shares=(2.0,) * 3 + (0.6,) * 6)
    assert posed.errors([knapsack(posed)])[0] == pytest.approx(best_of(truth, posed))


def test_greedy_measures_every_block_that_is_left_at_every_step(truth):
    posed = problem(truth, 3)
    found = greedy(posed)
    assert posed.errors.spent == 9 + 8 + 7
    chosen = frozenset()
    for _ in range(3):
        options = [chosen | {block} for block in range(9) if block not in chosen]
        chosen = min(options, key=lambda removal: truth.measure([removal], False)[0])
    assert found == chosen


def test_greedy_ends_with_what_it_measured_last_where_the_budget_ends(truth):
    posed = problem(truth, 6, budget=9 + 8)
    assert len(greedy(posed)) == 6
    with pytest.raises(Exhausted):
        greedy(problem(truth, 6, budget=5))


@pytest.mark.parametrize("size", [2, 4, 6])
def test_the_evolution_is_no_worse_than_where_it_begins_and_mostly_finds_the_best(truth, size):
    found = []
    for seed in range(10):
        posed = problem(truth, size, seed=seed)
        error = posed.errors([SELECTORS["evolution"](posed)])[0]
        assert error <= posed.errors([knapsack(posed)])[0]
        found.append(error == pytest.approx(best_of(truth, posed)))
    assert np.mean(found) >= 0.7


def test_a_search_is_repeated_by_its_seed(truth):
    for name, selector in SELECTORS.items():
        if name == "nsga2":
            pytest.importorskip("pymoo", reason="an extra")
        first, again = (problem(truth, 4, budget=120, seed=3) for _ in range(2))
        assert selector(first) == selector(again)
        assert first.errors.spent == again.errors.spent


def test_a_target_that_no_plan_reaches_is_one_line():
    with pytest.raises(PlanError, match="no plan saves 10: leaving out all 9 blocks saves 9"):
        problem(TRUTH, 10.0)

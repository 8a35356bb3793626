"""What may be left out, and how a removal is filled up and trimmed."""

from __future__ import annotations

import numpy as np
import pytest

from harness.ablation.removals import Blocks
from harness.errors import PlanError
from harness.search.evaluation import Evaluations
from harness.search.problem import Problem
from tests.helpers.truths import LENGTHS, table

SHARES = (2.0,) * 3 + (1.0,) * 6


def posed(target):
    truth = table(LENGTHS)
    return Problem(Blocks(LENGTHS, SHARES), target, Evaluations(truth.measure), np.random.default_rng(0))


def test_a_removal_saves_enough_and_no_block_of_it_could_stay():
    problem = posed(3.0)
    assert problem.allowed(frozenset({0, 3}))
    assert not problem.allowed(frozenset({0}))
    assert problem.allowed(frozenset({0, 1}))  # neither saves enough alone
    assert not problem.allowed(frozenset({0, 3, 4}))
    assert not problem.allowed(frozenset({0, 1, 3}))


def test_filling_follows_the_order_and_trimming_takes_the_costly_first():
    problem = posed(3.0)
    assert problem.filled(frozenset(), [8, 7, 0, 1]) == {8, 7, 0}
    worth = np.array([0.0] * 7 + [1.0, 2.0])
    assert problem.trimmed(frozenset({8, 7, 0}), worth) == {7, 0}
    for _ in range(20):
        assert problem.allowed(problem.completed(frozenset({4})))


def test_single_errors_are_of_every_block():
    problem = posed(3.0)
    assert list(problem.single_errors()) == [problem.errors.fine[frozenset({i})] for i in range(9)]


def test_a_target_beyond_all_blocks_is_refused():
    with pytest.raises(PlanError, match="no plan saves 13: leaving out all 9 blocks saves 12"):
        posed(13.0)

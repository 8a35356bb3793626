"""Regret: 0 for the best removal, 1 for the worst; and a pair that a sum of single errors puts the wrong way round."""

from __future__ import annotations

import numpy as np
import pytest

from harness.ablation.removals import mask_of, of_mask
from harness.search.problem import Problem
from harness.search.regret import largest_reversal, regret_of, regrets
from harness.search.selectors import SELECTORS


def at(mask):
    def selector(problem: Problem):
        problem.errors([of_mask(mask)])
        return of_mask(mask)

    return selector


def test_the_best_removal_has_no_regret_and_the_worst_all(truth):
    masks = np.flatnonzero(truth.sizes == 3)
    best, worst = masks[truth.fine[masks].argmin()], masks[truth.fine[masks].argmax()]
    assert regret_of(truth, at(int(best)), 3, 10, 0) == (0.0, 1.0)
    assert regret_of(truth, at(int(worst)), 3, 10, 0) == (1.0, 1.0)
    regret, cost = regret_of(truth, SELECTORS["greedy"], 3, 5, 0)
    assert regret == 1.0  # nothing was chosen: as bad as the worst
    assert cost == 0


def test_every_selector_is_scored_at_every_size(truth):
    pytest.importorskip("pymoo", reason="an extra")
    found = list(regrets(truth, budget=40, seeds=range(3)))
    assert len(found) == len(SELECTORS) * 8
    assert all(0 <= each.median <= 1 and max(each.cost) <= 40 for each in found)
    for each in found:
        for seed, (cost, random) in enumerate(zip(each.cost, each.random, strict=True)):
            assert (
                random == regret_of(truth, SELECTORS["random"], each.size, cost, seed)[0] or each.selector == "random"
            )
    random = np.mean([each.median for each in found if each.selector == "random"])
    assert np.mean([each.median for each in found if each.selector == "evolution"]) < random


def test_the_pair_that_sums_order_most_wrongly(truth, additive):
    for size in (2, 3, 5):
        found = largest_reversal(truth, size)
        assert found.sums[0] > found.sums[1]
        assert found.errors[0] < found.errors[1]
        for removal, error in zip((found.better, found.worse), found.errors, strict=True):
            assert truth.fine[mask_of(removal)] == error
        single = truth.fine[1 << np.arange(9)]
        of_size = [of_mask(int(mask)) for mask in np.flatnonzero(truth.sizes == size)]
        pairs = [
            truth.fine[mask_of(b)] - truth.fine[mask_of(a)]
            for a in of_size
            for b in of_size
            if single[list(a)].sum() > single[list(b)].sum() + 1e-12
        ]
        assert found.errors[1] - found.errors[0] == pytest.approx(max(pairs))
    assert largest_reversal(additive, 3) is None or np.ptp(largest_reversal(additive, 3).errors) < 1e-9

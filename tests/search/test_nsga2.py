"""NSGA-II measures a front, not only sets of the size that is asked for."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.search import nsga2
from harness.search.evaluation import Evaluations
from harness.search.problem import Problem
from tests.helpers.truths import LENGTHS, table


def problem(truth, target, budget, seed=0):
    return Problem(truth.blocks, target, Evaluations(truth.measure, budget), np.random.default_rng(seed))


def test_it_comes_to_the_best_set_and_measures_good_ones_of_other_sizes():
    pytest.importorskip("pymoo", reason="an extra")
    truth = table(LENGTHS)
    posed = problem(truth, 5.0, 250)
    chosen = nsga2.nsga2(posed)
    assert posed.errors.spent <= 250
    of_size = np.sort(truth.fine[truth.sizes == 5])
    assert posed.errors([chosen])[0] <= of_size[3]
    for size in range(1, 5):
        mine = min(error for removal, error in posed.errors.fine.items() if len(removal) == size)
        assert mine <= np.quantile(truth.fine[truth.sizes == size], 0.1)


def test_a_budget_below_the_single_errors_gives_nothing():
    pytest.importorskip("pymoo", reason="an extra")
    assert nsga2.nsga2(problem(table(LENGTHS), 5.0, 4)) is None


def test_without_pymoo_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymoo", None)
    monkeypatch.setattr(nsga2, "find_spec", lambda _: None)
    with pytest.raises(
        HarnessError, match=r"^--selector nsga2 needs the package pymoo, .*; run: pip install .*\[search\]"
    ):
        nsga2.nsga2(problem(table(LENGTHS), 5.0, 250))

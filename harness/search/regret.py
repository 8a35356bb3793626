"""How good selectors are, against the truth: how much worse what they find is than the best set, at what cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harness.results.arrays import Array
from harness.search.evaluation import Evaluations, Exhausted
from harness.search.problem import Problem
from harness.search.removals import Removal, mask_of, of_mask
from harness.search.selectors import SELECTORS, Selector
from harness.search.truth import Truth


class Regret(NamedTuple):
    """A selector's regrets at one size: (R,) shares of the range of errors of that size, one for each seed.

    0 is the best removal of all, 1 the worst; NaN where the budget ended before anything was found. ``cost`` are (R,)
    evaluations, a rough one in its share.
    """

    selector: str
    size: int
    regret: Array
    cost: Array

    @property
    def median(self) -> float:
        """The median over seeds, a search that found nothing counting as the worst."""
        return float(np.median(np.nan_to_num(self.regret, nan=1.0)))


def regret_of(truth: Truth, selector: Selector, size: int, budget: float, seed: int) -> tuple[float, float]:
    """The regret of one search for the best removal of ``size`` blocks, and what it cost."""
    of_size = truth.fine[truth.sizes == size]
    best, worst = float(of_size.min()), float(of_size.max())
    errors = Evaluations(truth.measure, budget)
    try:
        found = selector(Problem(truth.blocks, float(size), errors, np.random.default_rng(seed)))
    except Exhausted:
        found = None
    if found is None:
        return float("nan"), errors.spent
    return (float(truth.fine[mask_of(found)]) - best) / (worst - best), errors.spent


def regrets(truth: Truth, budget: float, *, seeds: int) -> Iterator[Regret]:
    """Every selector at every size from 1 to L - 1, each on so many seeds."""
    for name, selector in SELECTORS.items():
        for size in range(1, truth.blocks.count):
            runs = [regret_of(truth, selector, size, budget, seed) for seed in range(seeds)]
            regret, cost = (np.array(column) for column in zip(*runs, strict=True))
            yield Regret(name, size, regret, cost)


class Reversal(NamedTuple):
    """Two removals of one size: ``better`` has the larger sum of single errors, and yet the smaller error."""

    better: Removal
    worse: Removal
    sums: tuple[float, float]
    errors: tuple[float, float]


def largest_reversal(truth: Truth, size: int) -> Reversal | None:
    """The pair of removals of that size of which the sum of single errors is most wrong; None where it orders them all.

    It is the pair whose errors differ most while their sums stand the other way: that errors are not monotonic in the
    sum of what is left out is what EvoPress begins with (Sieberling et al. 2024, section 3).
    """
    masks = np.flatnonzero(truth.sizes == size)
    single = truth.fine[1 << np.arange(truth.blocks.count)]
    sums = np.array([sum(single[block] for block in of_mask(int(mask))) for mask in masks])
    order = np.argsort(sums, kind="stable")
    errors = truth.fine[masks][order]
    # For each place, the largest error at a smaller sum: it should be below all errors from here on.
    highest = np.maximum.accumulate(errors)
    gap = highest[:-1] - errors[1:]
    later = int(np.argmax(gap)) + 1 if len(gap) else 0
    if not later or gap[later - 1] <= 0:
        return None
    earlier = int(np.argmax(errors[:later]))
    better, worse = (of_mask(int(masks[order[i]])) for i in (later, earlier))
    return Reversal(
        better,
        worse,
        (float(sums[order[later]]), float(sums[order[earlier]])),
        (float(errors[later]), float(errors[earlier])),
    )

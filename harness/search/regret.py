"""How good selectors are, against the truth: how much worse what they find is than the best set, at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.ablation.removals import Removal, mask_of, of_mask
from harness.results.serialise import Count, Finite
from harness.search.evaluation import Evaluations, Exhausted
from harness.search.problem import Problem
from harness.search.selectors import SELECTORS, WITHOUT_CHANCE, Selector
from harness.search.truth import Truth


@dataclass(frozen=True)
class Regret:
    """A selector's regrets at one size, one for each seed, as shares of the range of errors of that size.

    0 is the best removal of all, 1 the worst; it is 1 as well where the budget ended with nothing chosen. ``cost`` are
    evaluations, a rough one in its share, and ``random`` the regrets of the best of removals drawn at random at the
    same cost.
    """

    selector: str
    size: Count
    regret: tuple[Finite, ...]
    cost: tuple[Finite, ...]
    random: tuple[Finite, ...]

    @property
    def median(self) -> float:
        """The median over seeds."""
        return float(np.median(self.regret))


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
        return 1.0, errors.spent
    return (float(truth.fine[mask_of(found)]) - best) / (worst - best), errors.spent


def regrets(truth: Truth, budget: float, *, seeds: Sequence[int]) -> Iterator[Regret]:
    """Every selector at every size from 1 to L - 1, on each seed; one without chance runs once.

    Raises HarnessError where pymoo is missing.
    """
    for name, selector in SELECTORS.items():
        for size in range(1, truth.blocks.count):
            if name in WITHOUT_CHANCE:
                runs = [regret_of(truth, selector, size, budget, seeds[0])] * len(seeds)
            else:
                runs = [regret_of(truth, selector, size, budget, seed) for seed in seeds]
            regret, cost = zip(*runs, strict=True)
            random = regret
            if name != "random":
                pairs = zip(cost, seeds, strict=True)
                random = tuple(regret_of(truth, SELECTORS["random"], size, spent, seed)[0] for spent, seed in pairs)
            yield Regret(name, size, regret, cost, random)


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
    sums = (masks[:, None] >> np.arange(truth.blocks.count) & 1) @ single
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

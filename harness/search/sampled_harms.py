"""Harms on images of all removals of up to two blocks, and of a sample of the larger ones, kept in a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from math import comb

import numpy as np

from harness.ablation.removals import Blocks, Removal, all_removals, mask_of
from harness.analysis.predictors import Correlation, spearman
from harness.lab.lab import Lab
from harness.search.candidates import StackPlans
from harness.search.confirm import harm_of
from harness.search.journal import Journal, Measured, MeasuredHarm
from harness.search.truth import Truth


def sampled_removals(count: int, larger: int, seed: int) -> list[Removal]:
    """All removals of one and two of ``count`` blocks, then ``larger`` ones of 3 to count - 1, as many of each size.

    Where they don't divide evenly, the sizes that get one more are drawn, too; no removal comes twice, so that a size
    with fewer of them gives all it has.
    """
    rng = np.random.default_rng(seed)
    chosen = [removal for removal in all_removals(count, most=2) if removal]
    sizes = list(range(3, count))
    if not sizes:
        return chosen
    more = set(rng.choice(sizes, size=larger % len(sizes), replace=False).tolist())
    for size in sizes:
        wanted = min(larger // len(sizes) + (size in more), comb(count, size))
        chosen += _drawn(rng, count, size, wanted)
    return chosen


def _drawn(rng: np.random.Generator, count: int, size: int, wanted: int) -> list[Removal]:
    """Different removals of one size, each as likely."""
    if wanted * 2 > comb(count, size):
        everything = [frozenset(blocks) for blocks in combinations(range(count), size)]
        return [everything[i] for i in sorted(rng.choice(len(everything), size=wanted, replace=False).tolist())]
    drawn: dict[Removal, None] = {}
    while len(drawn) < wanted:
        drawn[frozenset(rng.choice(count, size=size, replace=False).tolist())] = None
    return list(drawn)


def measure_harms(
    lab: Lab, blocks: Blocks, removals: list[Removal], journal: Journal, progress: Callable[[int, int], None]
) -> None:
    """Measure the harms that a journal lacks, each written as it is there. Raises as ``Lab.run`` and JournalError."""
    for done, removal in enumerate(removals, start=1):
        if removal not in journal.harms:
            harm = harm_of(lab, blocks, removal)
            journal.append([Measured(removal, MeasuredHarm(harm.value, harm.low, harm.high))])
        progress(done, len(removals))


def agreement(truth: Truth, journal: Journal) -> Iterator[tuple[str, Correlation]]:
    """The rank correlation of velocity error with harm, over single blocks, pairs, the larger sets, and all of them."""
    groups: dict[str, Callable[[Removal], bool]] = {
        "1 block": lambda removal: len(removal) == 1,
        "2 blocks": lambda removal: len(removal) == 2,
        "3 and more": lambda removal: len(removal) > 2,
        "all": lambda _: True,
    }
    for name, belongs in groups.items():
        harms = [
            (candidate, harm.harm)
            for candidate, harm in journal.harms.items()
            if not isinstance(candidate, StackPlans) and belongs(candidate)
        ]
        errors = [truth.fine[mask_of(removal)] for removal, _ in harms]
        yield name, spearman(np.array(errors), np.array([harm for _, harm in harms]))

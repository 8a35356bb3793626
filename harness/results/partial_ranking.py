"""The ranking of an adaptive run, whose variants have different numbers of prompts each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.results.adaptive import look, looks
from harness.results.arrays import Array
from harness.results.rank_intervals import LEAST_FOR_TIERS, Ranks, partial_rank_intervals
from harness.results.records import Measurement, Subset
from harness.results.statistics import Interval, mean_interval

_LEVEL = 0.95


def set_size(measurement: Measurement) -> int:
    """The prompts that there were to measure a variant on."""
    return measurement.prompts if measurement.subset is None else measurement.subset.of


def harm_interval(harms: Array, subset: Subset | None) -> Interval:
    """The mean of (n,) harms with its 95 % interval, over prompts in general.

    A variant that an adaptive run stopped early could have stopped after any look: the error is spent on the looks in
    equal parts, so that the interval holds whenever it stopped.
    """
    if subset is None or subset.whole:
        return mean_interval(harms, _LEVEL)
    return mean_interval(harms, 1 - (1 - _LEVEL) / len(looks(subset.of)))


def partial_ranks(harms: Sequence[Array], subsets: Sequence[Subset | None], prompts: int) -> Ranks:
    """Rank intervals on the prompts that two variants share, and two tiers.

    ``harms`` are in the order of the prompts of each one's subset, which is all ``prompts`` in their order where it is
    None. Tier 1 are the variants that :func:`harness.results.adaptive.look` takes for those of the exhaustive tier 1.
    There are no tiers with too few prompts, or where the subsets are not beginnings of one order.
    """
    table = np.full((len(harms), prompts), np.nan)
    for row, harm, subset in zip(table, harms, subsets, strict=True):
        row[list(range(prompts) if subset is None else subset.indices)] = harm
    low, high = partial_rank_intervals(table, len(looks(prompts)))
    return Ranks(low, high, _tiers(table, subsets), float("nan"))


def _tiers(table: Array, subsets: Sequence[Subset | None]) -> tuple[int | None, ...]:
    measured = np.isfinite(table)
    counts = measured.sum(axis=1)
    parts = [subset for subset in subsets if subset is not None and not subset.whole]
    order = [i for part in sorted(parts, key=lambda each: len(each.indices))[-1:] for i in part.indices]
    order += [i for i in range(table.shape[1]) if i not in set(order)]
    beginnings = [row[order[:count]] for row, count in zip(table, counts, strict=True)]
    nested = all(np.isfinite(beginning).all() for beginning in beginnings)
    if not nested or table.shape[1] < LEAST_FOR_TIERS or counts.min() < 2:
        return (None,) * len(table)
    return tuple(1 if first else 2 for first in look(beginnings, table.shape[1]).first_tier)

"""Which variants need more prompts: a ranking that is measured in looks, each of more prompts than the one before.

The target is the exhaustive ranking, of all P prompts of the set, and not of prompts in general. The prompts of a look
are therefore a sample without replacement from a finite set, whose means are known the better the fewer are left: the
variance of a mean of n has the factor 1 - n / P (W. G. Cochran, Sampling Techniques, 1977, chapter 2).

Looking several times makes a false stop more likely. The error is spent over the looks in equal parts, so that the
nominal chance of a false stop on one side, at any look, is at most :data:`ERROR` for each variant (K. K. G. Lan and
D. L. DeMets 1983, Biometrika 70, 659-663, with a linear spending function and the union bound, which supposes nothing
of how the looks depend on each other). Each look's interval is Student's, of the variant's harm minus the least harmful
one's on the same prompts.

A variant stops where its interval is on one side of where tier 1 ends: clearly inside, or clearly more harmful. Where
that is follows from the rule of :mod:`harness.results.rank_intervals`, put forward to all prompts.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.results.arrays import Array

ERROR = 0.2
# The |t| beyond which a difference is sure, over all pairs at once: 5.9, 6.7 and 7.7 in exhaustive runs of the bundled
# models (harness.results.rank_intervals.critical_t), which a few prompts can't tell.
_CRITICAL = 7.0
_FRACTIONS = (1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
_LEAST = 4  # prompts of the first look
_PRIOR = 16  # prompts that the spread of all variants together counts as, beside a variant's own
_FLOOR = 0.05  # of the largest difference at most; below it the trend of spread over harm is not followed


class Standing(enum.StrEnum):
    """What a look says of a variant."""

    INSIDE = "inside tier 1"
    OUTSIDE = "more harmful than tier 1"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Look:
    """What is known after a look: each variant's standing, and whether it is taken for one of tier 1 as it is."""

    standings: tuple[Standing, ...]
    first_tier: tuple[bool, ...]


def looks(prompts: int) -> tuple[int, ...]:
    """The numbers of prompts after which to look, the last one all of them: 8, 12, 16, 24, 32, 48, 64 of 64."""
    some = {max(_LEAST, round(prompts * fraction)) for fraction in _FRACTIONS}
    return (*sorted(count for count in some if count < prompts), prompts)


def prompt_order(categories: Sequence[str], seed: int = 0) -> tuple[int, ...]:
    """An order of the prompts, drawn with ``seed``, whose every beginning has about its share of each category.

    Each category is shuffled and spread evenly over the order, from a place that is drawn.
    """
    rng = np.random.default_rng(seed)
    places = np.empty(len(categories))
    for name in dict.fromkeys(categories):
        mine = rng.permutation([i for i, category in enumerate(categories) if category == name])
        places[mine] = (np.arange(len(mine)) + rng.random()) / len(mine)
    return tuple(int(i) for i in np.argsort(places, kind="stable"))


def look(harms: Sequence[npt.ArrayLike], prompts: int) -> Look:
    """The standing of each of V variants; each has the harms of the first n >= 2 of the ``prompts`` in one order.

    The variants may have stopped at different n. The one with the least harm among those with the most prompts is what
    the others are compared with.
    """
    tables = [np.asarray(harm, dtype=np.float64) for harm in harms]
    counts = np.array([len(table) for table in tables])
    means = np.array([table.mean() for table in tables])
    best = int(np.argmin(np.where(counts == counts.max(), means, np.inf)))
    gaps = [table - tables[best][: len(table)] for table in tables]
    mean = np.array([gap.mean() for gap in gaps])
    spread = np.array([gap.std(ddof=1) for gap in gaps])
    end = _end_of_first_tier(mean, _moderated(mean, spread, counts, best), prompts)
    share = ERROR / max(1, len(looks(prompts)) - 1)
    half = stats.t.ppf(1 - share, counts - 1) * spread * np.sqrt(np.maximum(0.0, 1 / counts - 1 / prompts))
    standings = [
        Standing.INSIDE if high < end else Standing.OUTSIDE if low >= end else Standing.UNDECIDED
        for low, high in zip(mean - half, mean + half, strict=True)
    ]
    return Look(tuple(standings), tuple(bool(value < end) for value in mean))


def _moderated(mean: Array, spread: Array, counts: npt.NDArray[np.intp], best: int) -> Array:
    """Standard deviations drawn towards their trend over the mean, since those of a few prompts are rough.

    A weighted mean of logarithms, with the trend as :data:`_PRIOR` prompts (after G. K. Smyth 2004, "Linear models and
    empirical Bayes methods for assessing differential expression", SAGMB 3, article 3).
    """
    others = np.arange(len(mean)) != best
    top = float(mean.max(initial=0.0))
    size = np.log(np.maximum(mean, min(_FLOOR, _FLOOR * top)) + 1e-12)
    own = np.log(np.maximum(spread, 1e-3 * max(top, 1e-9)))
    if others.sum() < 3 or np.ptp(size[others]) < 1e-9:
        return np.exp(own)
    trend = np.polyval(np.polyfit(size[others], own[others], 1), size)
    freedom = counts - 1
    return np.asarray(np.exp((own * freedom + trend * _PRIOR) / (freedom + _PRIOR)), dtype=np.float64)


def _end_of_first_tier(mean: Array, spread: Array, prompts: int) -> float:
    """Half way between the least difference that would be sure with all prompts and the one below it.

    Infinite where none would be sure.
    """
    sure = mean > _CRITICAL * spread / np.sqrt(prompts)
    if not sure.any():
        return float("inf")
    least = float(mean[sure].min())
    return (least + float(mean[mean < least].max(initial=0.0))) / 2


def goes_on(harms: Sequence[npt.ArrayLike], prompts: int) -> tuple[bool, ...]:
    """Which of the variants need the next look: the undecided ones, and while there are any, the least harmful one."""
    counts = np.array([np.size(harm) for harm in harms])
    most = counts.max(initial=0)
    if most < 2 or most >= prompts:
        return tuple(bool(count < prompts) for count in counts)
    undecided = [standing is Standing.UNDECIDED for standing in look(harms, prompts).standings]
    live = [wanted and count == most for wanted, count in zip(undecided, counts, strict=True)]
    if any(live):
        means = np.array([np.asarray(harm, dtype=np.float64).mean() for harm in harms])
        live[int(np.argmin(np.where(counts == most, means, np.inf)))] = True
    return tuple(live)


def replay(table: npt.ArrayLike, order: Sequence[int]) -> list[Array]:
    """What an adaptive run would have measured of a (V, P) table of harms: each variant's, in the order of prompts."""
    ordered = np.asarray(table, dtype=np.float64)[:, list(order)]
    prompts = ordered.shape[1]
    schedule = looks(prompts)
    counts = np.full(len(ordered), schedule[0])
    for _, following in pairwise(schedule):
        live = goes_on([row[:count] for row, count in zip(ordered, counts, strict=True)], prompts)
        if not any(live):
            break
        counts[np.array(live)] = following
    return [row[:count] for row, count in zip(ordered, counts, strict=True)]

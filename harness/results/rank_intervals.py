"""Which variants are surely more harmful than which others, at once over all pairs: rank intervals and tiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harness.results.arrays import Array

LEAST_FOR_TIERS = 16  # prompts; with fewer, intervals of differences are too rough to part anything by
_ENOUGH = 10  # prompts in which two variants have to differ before a bootstrap says anything of their difference
# Draws and pairs at a time: their table of 0.8 MB stays in the processor's cache, which is several times as fast.
_DRAWS, _PAIRS = 100, 1024


@dataclass(frozen=True)
class Ranks:
    """Per variant: rank interval (1-based, inclusive) and tier (None with too few prompts).

    ``critical`` is the |t| beyond which a difference of two variants is sure.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    tier: tuple[int | None, ...]
    critical: float


def rank_intervals(harm: npt.ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Ranks:
    """Simultaneous rank intervals of (V, P) prompt-mean harms (Mogstad, Romano, Shaikh, Wilhelm 2024).

    All pairs of variants are compared on paired prompt differences. A difference is sure where its |t| is above
    :func:`critical_t` of all pairs together, so that with probability ``level`` every sure difference has the right
    sign. Interval of variant v: [1 + #{surely better than v}, V - #{surely worse than v}].

    Tiers follow the order of mean harm: a new one begins at the first variant that is surely more harmful than the
    first of the tier before. A variant with a wide interval may stand behind such a cut without being surely more
    harmful itself; its rank interval says so. docs/measurement.md has the coverage.
    """
    table = np.asarray(harm, dtype=np.float64)
    variants, prompts = table.shape
    mean = table.mean(axis=1)
    first, second = np.triu_indices(variants, 1)
    size = max(1.0, float(np.abs(mean).max(initial=0.0)))
    sure = _sure((table[first] - table[second]).T, size, level, draws, seed)
    worse = np.zeros((variants, variants), dtype=np.bool_)
    worse[first, second] = sure.sign > 0
    worse[second, first] = sure.sign < 0
    low, high = 1 + worse.sum(axis=1), variants - worse.sum(axis=0)
    return Ranks(tuple(map(int, low)), tuple(map(int, high)), _tiers(mean, worse, prompts), sure.critical)


def partial_rank_intervals(
    harm: npt.ArrayLike, looks: int, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The low and high ends of rank intervals where a variant may have stopped early: its other harms are NaN.

    A pair of variants of a (V, P) table is compared on the prompts that both have. As it could have stopped after any
    of so many ``looks``, the error is spent on them in equal parts. Few prompts tell few pairs apart, and a variant
    that stopped early has a wide interval.
    """
    table = np.asarray(harm, dtype=np.float64)
    first, second = np.triu_indices(len(table), 1)
    size = max(1.0, float(np.abs(np.nanmean(table, axis=1)).max(initial=0.0)))
    shared = np.isfinite(table[first]) & np.isfinite(table[second])
    worse = np.zeros((len(table), len(table)), dtype=np.bool_)
    for prompts in np.unique(shared[shared.any(axis=1)], axis=0):
        pairs = (shared == prompts).all(axis=1)
        a, b = first[pairs], second[pairs]
        gap = (table[np.ix_(a, prompts)] - table[np.ix_(b, prompts)]).T
        sign = _sure(gap, size, 1 - (1 - level) / looks, draws, seed).sign
        worse[a, b], worse[b, a] = sign > 0, sign < 0
    low, high = 1 + worse.sum(axis=1), len(table) - worse.sum(axis=0)
    return tuple(map(int, low)), tuple(map(int, high))


class _Sure(NamedTuple):
    """Per pair the sign of a difference that is sure, else 0; and the |t| beyond which it is."""

    sign: npt.NDArray[np.intp]
    critical: float


def _sure(gap: Array, size: float, level: float, draws: int, seed: int) -> _Sure:
    """Which of (P, pairs) differences are sure, at once over all of these pairs; ``size`` is that of the means."""
    prompts = len(gap)
    error = gap.std(axis=0, ddof=1) / np.sqrt(prompts) if prompts > 1 else np.full(gap.shape[1], np.inf)
    noisy = error > 1e-12 * size
    resolved = noisy & (_differing(gap, 1e-12 * size) >= min(_ENOUGH, prompts))
    critical = critical_t(gap[:, resolved], level, draws, seed) if prompts > 1 and resolved.any() else np.inf
    difference = gap.mean(axis=0)
    # Where two variants differ by a constant, the difference has no error and is sure.
    limit = critical * np.where(resolved, error, 1.0)
    beyond = np.where(
        resolved, np.abs(difference) > limit, (prompts > 1) & ~noisy & (np.abs(difference) > 1e-12 * size)
    )
    return _Sure(np.where(beyond, np.sign(difference), 0).astype(np.intp), critical)


def critical_t(differences: npt.ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> float:
    """The |t| that all (P, K) differences' means stay under at once, with probability ``level``, around their truth.

    The ``level`` quantile of the largest |t| of any of the K when the P prompts are drawn anew, where each draw has its
    own standard errors (the bootstrap-t). With the standard errors of the sample instead, 95 % is .85 on normal data
    and .5 to .8 on real harms, whose few large losses make mean and standard error go together. Infinite where a draw
    often enough has no spread.
    """
    values = np.asarray(differences, dtype=np.float64)
    prompts, pairs = values.shape
    weights = np.random.default_rng(seed).multinomial(prompts, np.full(prompts, 1 / prompts), size=draws) / prompts
    largest = np.zeros(draws)  # of t squared
    for first in range(0, pairs, _PAIRS):
        some = values[:, first : first + _PAIRS]
        centred = some - some.mean(axis=0)
        squared = centred**2
        none = 1e-12 * squared.mean(axis=0)
        for start in range(0, draws, _DRAWS):
            chunk = slice(start, start + _DRAWS)
            mean2 = (weights[chunk] @ centred) ** 2
            variance = weights[chunk] @ squared - mean2
            t2 = np.full(mean2.shape, np.inf)
            np.divide(mean2 * (prompts - 1), variance, out=t2, where=variance > none)
            largest[chunk] = np.maximum(largest[chunk], t2.max(axis=1))
    return float(np.quantile(np.sqrt(largest), level, method="higher"))


def _differing(gap: Array, rounding: float) -> npt.NDArray[np.intp]:
    """(K,) numbers of prompts in which a difference is another than its median."""
    return np.asarray((np.abs(gap - np.median(gap, axis=0)) > rounding).sum(axis=0), dtype=np.intp)


def _tiers(mean: Array, worse: npt.NDArray[np.bool_], prompts: int) -> tuple[int | None, ...]:
    """(V,) tiers; ``worse[i, j]`` says that variant i is surely more harmful than j."""
    if prompts < LEAST_FOR_TIERS:
        return (None,) * len(mean)
    tier, number, best = np.zeros(len(mean), dtype=int), 0, -1
    for variant in np.argsort(mean, kind="stable"):
        if best < 0 or worse[variant, best]:
            number, best = number + 1, int(variant)
        tier[variant] = number
    return tuple(map(int, tier))

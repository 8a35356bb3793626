"""Intervals, tiers and distances between sets; numpy and scipy only.

The unit of every interval is the prompt: seeds are averaged within it first. Treating images as
independent covers 77 % where it says 95 % (measured on simulations, see docs/measurement.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.results.arrays import Array


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval."""

    value: float
    low: float
    high: float


def by_prompt(values: npt.ArrayLike, prompts: int) -> Array:
    """(P,) means over the seeds of each prompt, from prompt-major per-image values.

    Raises ValueError when the number of values is no multiple of the number of prompts.
    """
    flat = np.asarray(values, dtype=np.float64)
    if prompts < 1 or flat.ndim != 1 or len(flat) % prompts:
        raise ValueError(f"{flat.size} values don't divide over {prompts} prompts")
    return flat.reshape(prompts, -1).mean(axis=1)


def mean_interval(prompt_values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Mean over prompts with Student's t interval on P - 1 degrees of freedom; infinite for one prompt."""
    values = np.asarray(prompt_values, dtype=np.float64)
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -np.inf, np.inf)
    half = float(stats.t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def pooled_seed_sd(scores: npt.ArrayLike) -> float:
    """Seed-to-seed standard deviation of (P, S) scores, pooled within prompts: sqrt(mean of variances).

    Raises ValueError with fewer than two seeds.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"the seed-to-seed deviation needs scores of shape (prompts, seeds >= 2), got {table.shape}")
    return float(np.sqrt(table.var(axis=1, ddof=1).mean()))


@dataclass(frozen=True)
class Ranks:
    """Per variant: rank interval (1-based, inclusive) and tier; ``critical`` is the simultaneous |t|."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    tier: tuple[int, ...]
    critical: float


def rank_intervals(harm: npt.ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Ranks:
    """Simultaneous rank intervals of (V, P) prompt-mean harms (Mogstad, Romano, Shaikh, Wilhelm 2024).

    All pairs of variants are compared on paired prompt differences; the critical value is the ``level``
    quantile of the bootstrap (over prompts) of the largest |t| of any pair. Interval of variant v:
    [1 + #{surely better than v}, V - #{surely worse than v}]. Tier 1 is what can't be told from the
    least harmful variant; tier 2 what can't be told from the least harmful of the rest, and so on.
    """
    table = np.asarray(harm, dtype=np.float64)
    variants, prompts = table.shape
    mean = table.mean(axis=1)
    gap = mean[:, None] - mean[None, :]
    # var(a - b) = var a + var b - 2 cov, for all pairs at once.
    centred = table - mean[:, None]
    cov = centred @ centred.T / max(1, prompts - 1)
    spread = np.diag(cov)[:, None] + np.diag(cov)[None, :] - 2 * cov
    error = np.sqrt(np.maximum(spread, 0.0) / prompts)
    usable = error > 1e-12 * max(1.0, float(np.abs(mean).max(initial=0.0)))
    safe = np.where(usable, error, np.inf)
    rng = np.random.default_rng(seed)
    largest = np.zeros(draws)
    for start in range(0, draws, 100):
        size = min(100, draws - start)
        weights = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=size) / prompts
        shift = weights @ centred.T  # (size, V): bootstrap mean - mean
        t = np.abs(shift[:, :, None] - shift[:, None, :]) / safe
        largest[start : start + size] = t.max(axis=(1, 2), initial=0.0)
    critical = float(np.quantile(largest, level)) if prompts > 1 else np.inf
    # Where two variants differ by a constant, the difference has no error and is sure.
    surely_worse = np.where(usable, gap > critical * _safe_finite(safe), (gap > 0) & (prompts > 1))
    low = 1 + surely_worse.sum(axis=1)
    high = variants - surely_worse.sum(axis=0)
    tier = np.zeros(variants, dtype=int)
    number = 0
    while (tier == 0).any():
        number += 1
        rest = np.flatnonzero(tier == 0)
        best = rest[np.argmin(mean[rest])]
        tier[rest[~surely_worse[rest, best]]] = number
    return Ranks(tuple(map(int, low)), tuple(map(int, high)), tuple(map(int, tier)), critical)


def _safe_finite(errors: Array) -> Array:
    """Errors with the infinite ones (of unusable pairs) set to 1, so that products stay defined."""
    return np.where(np.isfinite(errors), errors, 1.0)


def speed_up(control: npt.ArrayLike, variant: npt.ArrayLike, level: float = 0.95, seed: int = 0) -> Interval:
    """Median of control / variant over paired samples, with a block-bootstrap interval.

    The statistic is the median log-ratio; blocks of two neighbouring pairs (one ABBA) keep the drift
    of a machine's speed inside a block.
    """
    ratio = np.log(np.asarray(control, dtype=np.float64) / np.asarray(variant, dtype=np.float64))
    if len(ratio) < 4:
        return Interval(float(np.exp(np.median(ratio))), 0.0, np.inf)
    blocks = ratio[: len(ratio) // 2 * 2].reshape(-1, 2)
    rng = np.random.default_rng(seed)
    drawn = blocks[rng.integers(len(blocks), size=(2000, len(blocks)))].reshape(2000, -1)
    tail = 50 * (1 - level)
    low, high = np.percentile(np.median(drawn, axis=1), [tail, 100 - tail])
    return Interval(*(float(np.exp(v)) for v in (np.median(ratio), low, high)))


def paired_mmd(x: npt.ArrayLike, y: npt.ArrayLike, groups: npt.ArrayLike | None = None) -> float:
    """Unbiased squared MMD of paired (N, d) feature sets with a Gaussian kernel exp(-|u - v|^2 / (2 s^2)).

    s is the median distance between rows of ``x`` (the control) from different ``groups`` (prompts; default: every
    row its own), so the length of the features doesn't matter. KID's kernel (u.v / d + 1)^3, which is made for features
    of length sqrt(d), is linear on unit features: a set that shrinks around its mean is then no further away.

    Only pairs from different groups enter, so that x_i and y_i, drawn from the same prompt and seed, never meet; it is
    exactly 0 at y = x. (Gretton et al. 2012, lemma 6, as the U-statistic with kernel h.) Raises ValueError for fewer
    than two groups, and where all rows of ``x`` are equal, so that there is no distance to measure in.
    """
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    group = np.arange(len(a)) if groups is None else np.asarray(groups)
    apart = group[:, None] != group[None, :]
    if not apart.any():
        raise ValueError("a paired MMD needs images of at least two prompts")
    within = _squared_distances(a, a)
    scale = float(np.median(within[apart]))
    if scale <= 0:
        raise ValueError("a paired MMD needs features that differ between prompts; these are all equal")

    def kernel(squared: Array) -> Array:
        return np.exp(-squared / (2.0 * scale))

    cross = kernel(_squared_distances(a, b))
    h = kernel(within) + kernel(_squared_distances(b, b)) - cross - cross.T
    return float(h[apart].mean())


def _squared_distances(u: Array, v: Array) -> Array:
    """(N, M) squared Euclidean distances of rows."""
    squared = (u**2).sum(axis=1)[:, None] + (v**2).sum(axis=1)[None, :] - 2.0 * (u @ v.T)
    return np.maximum(squared, 0.0)

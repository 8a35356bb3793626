"""Intervals and distances between sets; numpy and scipy only.

The unit of every interval of harm is the prompt: seeds are averaged within it first. How often these intervals hold
the truth, on normal data and on real harms, stands in docs/measurement.md ("Coverage"), measured by
``python -m tests.simulations.coverage``.
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
    """Mean over prompts with an interval that reaches as far as skewed values ask; infinite for one prompt.

    On each side it is the longer of two: Student's t on P - 1 degrees of freedom, and t carried through the cubic
    transformation that takes the skewness out of a studentised mean (P. Hall 1992, "On the removal of skewness by
    transformation", JRSS B 54, 221-228). Where few prompts lose much and most nothing, t alone misses by saying too
    little harm; even values get Student's interval. docs/measurement.md has the coverage of both.
    """
    values = np.asarray(prompt_values, dtype=np.float64)
    mean, count = float(values.mean()), len(values)
    if count < 2:
        return Interval(mean, -np.inf, np.inf)
    spread = float(values.std(ddof=1))
    error = spread / np.sqrt(count)
    t = float(stats.t.ppf(0.5 + level / 2, count - 1))
    skewness = _skewness(values) / np.sqrt(count)
    down, up = (max(t, abs(_untransformed(z, skewness))) for z in (t, -t))
    return Interval(mean, mean - down * float(error), mean + up * float(error))


def _skewness(values: Array) -> float:
    """Skewness of (n,) values, corrected for small n as in J. H. Zar's and scipy's; 0 for two values or equal ones."""
    count = len(values)
    centred = values - values.mean()
    variance = float((centred**2).mean())
    if count < 3 or variance <= (1e-12 * max(1.0, float(np.abs(values).max()))) ** 2:
        return 0.0
    return float((centred**3).mean()) / variance**1.5 * count**2 / ((count - 1) * (count - 2))


def _untransformed(z: float, k: float) -> float:
    """The T at which Hall's T + k T^2 / 3 + k^2 T^3 / 27 + k / 6 is ``z``; ``k`` is the skewness over sqrt(n)."""
    return z if abs(k) < 1e-9 else 3.0 * (float(np.cbrt(1.0 + k * (z - k / 6.0))) - 1.0) / k


def pooled_seed_sd(scores: npt.ArrayLike) -> float:
    """Seed-to-seed standard deviation of (P, S) scores, pooled within prompts: sqrt(mean of variances).

    Raises ValueError with fewer than two seeds.
    """
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise ValueError(f"the seed-to-seed deviation needs scores of shape (prompts, seeds >= 2), got {table.shape}")
    return float(np.sqrt(table.var(axis=1, ddof=1).mean()))


def seed_sd_interval(scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """:func:`pooled_seed_sd` with its interval over prompts: the root of that of the mean of the prompts' variances.

    Half of the variance sits in 5 % of the prompts, so that the interval is wide. Raises ValueError as that does.
    """
    table = np.asarray(scores, dtype=np.float64)
    variance = mean_interval(table.var(axis=1, ddof=1), level) if table.shape[1:] > (1,) else None
    low, high = (0.0, np.inf) if variance is None else (variance.low, variance.high)
    return Interval(pooled_seed_sd(table), float(np.sqrt(max(0.0, low))), float(np.sqrt(high)))


def worst_tenth(prompt_values: npt.ArrayLike) -> float:
    """Mean of the largest tenth of the values, of at least one of them."""
    ordered = np.sort(np.asarray(prompt_values, dtype=np.float64))
    return float(ordered[-max(1, round(len(ordered) / 10)) :].mean())


def speed_up(control: npt.ArrayLike, variant: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Median of control / variant over paired samples, with an interval that supposes no distribution.

    The ends are two of the sorted log-ratios (:func:`median_interval`): of 12 pairs the 3rd and the 10th, which hold
    the median with probability .961; of 8 the 1st and the 8th (.992); of fewer than 6 there are none (0 and infinite).
    """
    ratio = np.log(np.asarray(control, dtype=np.float64) / np.asarray(variant, dtype=np.float64))
    interval = median_interval(ratio, level)
    return Interval(*(float(np.exp(v)) for v in (interval.value, interval.low, interval.high)))


def median_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Median of (n,) independent values, between the two order statistics that hold the true one at least as often.

    The k-th smallest and the k-th largest, for the largest k with P(Binomial(n, 1/2) < k) <= (1 - level) / 2; infinite
    where even the smallest and the largest don't reach the level.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    middle = float(np.median(ordered))
    below = int(np.sum(stats.binom.cdf(np.arange(len(ordered)), len(ordered), 0.5) <= (1 - level) / 2))
    if not below:
        return Interval(middle, -np.inf, np.inf)
    return Interval(middle, float(ordered[below - 1]), float(ordered[-below]))


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
    # A copy, so that u @ u.T takes the same routine of BLAS as any other product and rounds in the same way.
    squared = (u**2).sum(axis=1)[:, None] + (v**2).sum(axis=1)[None, :] - 2.0 * (u @ v.copy().T)
    return np.maximum(squared, 0.0)

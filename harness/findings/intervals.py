"""Confidence intervals as functions of their level. Prompts are the unit: seeds of one prompt are averaged before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.results.share import share_interval
from harness.results.statistics import Interval, mean_interval

Evidence = Callable[[float], Interval]  # the interval at a level such as 0.95


def over_prompts(values: npt.ArrayLike) -> Evidence:
    """Mean of (P,) values with the interval of :func:`harness.results.statistics.mean_interval`."""

    def interval(level: float) -> Interval:
        return mean_interval(values, level)

    return interval


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Evidence:
    """mean(part) / mean(whole) of paired (P,) values with :func:`harness.results.share.share_interval`."""

    def interval(level: float) -> Interval:
        return share_interval(part, whole, level)

    return interval


def drawn(value: float, draws: npt.ArrayLike) -> Evidence:
    """A statistic with the normal interval of its (R,) bootstrap draws, which are too few for far percentiles."""

    def interval(level: float) -> Interval:
        half = float(stats.norm.ppf(0.5 + level / 2)) * float(np.std(np.asarray(draws, dtype=np.float64), ddof=1))
        return Interval(value, value - half, value + half)

    return interval


def counted(value: float, draws: npt.ArrayLike) -> Evidence:
    """A whole number with the percentile interval of its (R,) bootstrap draws, which always holds the number itself."""
    numbers = np.asarray(draws, dtype=np.float64)

    def interval(level: float) -> Interval:
        if not len(numbers):
            return Interval(value, -np.inf, np.inf)
        low, high = np.quantile(numbers, [0.5 - level / 2, 0.5 + level / 2], method="closest_observation")
        return Interval(value, min(float(low), value), max(float(high), value))

    return interval


def exact(value: float) -> Evidence:
    """A value without an interval."""
    return _between(value, value, value)


def p_value(p: float, level: float) -> Evidence:
    """A p-value, to be compared with the significance ``level``: up to it the null is rejected.

    Above ``level`` the interval reaches down to 0, since not rejecting a null doesn't confirm it; from 1 - ``level`` on
    the p-value stands alone.
    """
    return exact(p) if p <= level or p >= 1.0 - level else _between(p, 0.0, p)


def _between(value: float, low: float, high: float) -> Evidence:
    """A value with the same bounds at every level."""

    def interval(_level: float) -> Interval:
        return Interval(value, low, high)

    return interval


def curvature(levels: npt.ArrayLike, values: npt.ArrayLike) -> Evidence:
    """The quadratic coefficient of the least-squares parabola of (B,) values over (B,) levels, with its t interval.

    On B - 3 degrees of freedom. Pairs with a NaN are left out; with fewer than four there is no interval.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (levels, values))
    finite = np.isfinite(x) & np.isfinite(y)

    def interval(level: float) -> Interval:
        count = int(finite.sum())
        if count < 4:
            return Interval(float("nan"), -np.inf, np.inf)
        design = np.vander(x[finite] - x[finite].mean(), 3)
        solved, *_ = np.linalg.lstsq(design, y[finite], rcond=None)
        residual = y[finite] - design @ solved
        variance = float(residual @ residual) / (count - 3) * np.linalg.inv(design.T @ design)[0, 0]
        half = float(stats.t.ppf(0.5 + level / 2, count - 3)) * float(np.sqrt(variance))
        return Interval(float(solved[0]), float(solved[0]) - half, float(solved[0]) + half)

    return interval


def trend(levels: npt.ArrayLike, values: npt.ArrayLike) -> Evidence:
    """The slope of the least-squares line of (B,) values over (B,) levels, with its t interval on B - 2 degrees.

    Pairs with a NaN are left out; with fewer than three there is no interval.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (levels, values))
    finite = np.isfinite(x) & np.isfinite(y)

    def interval(level: float) -> Interval:
        count = int(finite.sum())
        if count < 3:
            return Interval(float("nan"), -np.inf, np.inf)
        line = stats.linregress(x[finite], y[finite])
        half = float(stats.t.ppf(0.5 + level / 2, count - 2)) * float(line.stderr)
        return Interval(float(line.slope), float(line.slope) - half, float(line.slope) + half)

    return interval

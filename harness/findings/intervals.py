"""Confidence intervals as functions of their level. Prompts are the unit: seeds of one prompt are averaged before."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from harness.results.statistics import Interval, mean_interval

Evidence = Callable[[float], Interval]  # the interval at a level such as 0.95


def over_prompts(values: npt.ArrayLike) -> Evidence:
    """Mean of (P,) values with the interval of :func:`harness.results.statistics.mean_interval`."""

    def interval(level: float) -> Interval:
        return mean_interval(values, level)

    return interval


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Evidence:
    """mean(part) / mean(whole) of paired (P,) values with Fieller's interval, widened for skewed values.

    It holds every share s at which the interval of the mean of part - s * whole holds 0 (E. C. Fieller 1954, with
    :func:`harness.results.statistics.mean_interval` in place of Student's t), so that comparing it with a threshold is
    that test. Where the whole isn't significantly above 0 the interval is infinite.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (part, whole))

    def interval(level: float) -> Interval:
        count = len(a)
        mean_a, mean_b = float(a.mean()), float(b.mean())
        value = mean_a / mean_b if mean_b else float("nan")
        if count < 2:
            return Interval(value, -np.inf, np.inf)
        squared = float(stats.t.ppf(0.5 + level / 2, count - 1)) ** 2 / count
        var_a, var_b = squared * float(a.var(ddof=1)), squared * float(b.var(ddof=1))
        both = squared * float(np.cov(a, b)[0, 1])
        # The roots of (mean_a - s mean_b)^2 = var_a - 2 s both + s^2 var_b.
        quadratic, half, constant = mean_b**2 - var_b, mean_a * mean_b - both, mean_a**2 - var_a
        if mean_b <= 0 or quadratic <= 0:
            return Interval(value, -np.inf, np.inf)
        root = float(np.sqrt(max(0.0, half**2 - quadratic * constant)))
        low, high = (half - root) / quadratic, (half + root) / quadratic
        if root == 0 or mean_interval(b, level).low <= 0:
            return Interval(value, low, high) if root == 0 else Interval(value, -np.inf, np.inf)

        # Student's ends lie inside: from them outwards to where the whole interval of the rest leaves 0.
        def above(s: float) -> float:
            return mean_interval(a - s * b, level).low

        def below(s: float) -> float:
            return mean_interval(a - s * b, level).high

        return Interval(value, _outwards(above, low, low - high), _outwards(below, high, high - low))

    return interval


def _outwards(end: Callable[[float], float], start: float, step: float) -> float:
    """The first zero of ``end`` from ``start`` on in the direction of ``step``; infinite where there is none near."""
    sign = np.sign(step)
    # Exactly at the start, rounding decides on which side of 0 it is.
    inner = start - 1e-6 * step
    for power in range(20):
        outer = start + step * 2.0**power
        if sign * end(outer) < 0:
            return start if sign * end(inner) <= 0 else float(optimize.brentq(end, inner, outer))
        inner = outer
    return float(sign * np.inf)


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

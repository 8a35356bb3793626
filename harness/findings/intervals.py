"""Where intervals come from: functions of a level. Prompts are the unit; seeds of one prompt are averaged before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from harness.results.statistics import Interval

# harness.results.statistics imports scipy, which collecting a case file must not load: it is imported where it is used.
Evidence = Callable[[float], "Interval"]


def over_prompts(values: npt.ArrayLike) -> Evidence:
    """Mean of (P,) values with Student's t interval."""

    def interval(level: float) -> Interval:
        from harness.results.statistics import mean_interval

        return mean_interval(values, level)

    return interval


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Evidence:
    """mean(part) / mean(whole) of paired (P,) values with Fieller's interval.

    It is the set of all shares s at which the paired t test of part - s * whole against 0 doesn't reject (E. C. Fieller
    1954), so that comparing it with a threshold is that test. Where the whole isn't surely more than 0 there is
    nothing to have a share of: the interval is infinite.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (part, whole))

    def interval(level: float) -> Interval:
        from scipy import stats

        from harness.results.statistics import Interval

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
        return Interval(value, (half - root) / quadratic, (half + root) / quadratic)

    return interval


def drawn(value: float, draws: npt.ArrayLike) -> Evidence:
    """A statistic with the normal interval of its (R,) bootstrap draws: few draws have no percentiles far out."""

    def interval(level: float) -> Interval:
        from scipy import stats

        from harness.results.statistics import Interval

        half = float(stats.norm.ppf(0.5 + level / 2)) * float(np.std(np.asarray(draws, dtype=np.float64), ddof=1))
        return Interval(value, value - half, value + half)

    return interval


def exact(value: float) -> Evidence:
    """A value without an interval."""
    return between(value, value, value)


def p_value(p: float, level: float) -> Evidence:
    """A p-value of a null, to be compared with ``level``: below it the null is refuted.

    Above, that isn't sure of the opposite, and the interval reaches down to 0; from 1 - ``level`` on it is.
    """
    return exact(p) if p <= level or p >= 1.0 - level else between(p, 0.0, p)


def between(value: float, low: float, high: float) -> Evidence:
    """A value with bounds that depend on no level."""

    def interval(_level: float) -> Interval:
        from harness.results.statistics import Interval

        return Interval(value, low, high)

    return interval


def trend(levels: npt.ArrayLike, values: npt.ArrayLike) -> Evidence:
    """The slope of the least-squares line of (B,) values over (B,) levels, with its t interval on B - 2 degrees.

    Pairs with a NaN are left out; with fewer than three there is no interval.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (levels, values))
    seen = np.isfinite(x) & np.isfinite(y)

    def interval(level: float) -> Interval:
        from scipy import stats

        from harness.results.statistics import Interval

        count = int(seen.sum())
        if count < 3:
            return Interval(float("nan"), -np.inf, np.inf)
        line = stats.linregress(x[seen], y[seen])
        half = float(stats.t.ppf(0.5 + level / 2, count - 2)) * float(line.stderr)
        return Interval(float(line.slope), float(line.slope) - half, float(line.slope) + half)

    return interval

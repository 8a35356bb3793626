"""One mean as a share of another, with Fieller's interval: what claims and the ranking call a share of a harm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from harness.results.statistics import Interval, mean_interval


def share_interval(part: npt.ArrayLike, whole: npt.ArrayLike, level: float = 0.95) -> Interval:
    """mean(part) / mean(whole) of paired (P,) values with Fieller's interval, widened for skewed values.

    It holds every share s at which the interval of the mean of part - s * whole holds 0 (E. C. Fieller 1954, with
    :func:`harness.results.statistics.mean_interval` in place of Student's t), so that comparing it with a threshold is
    that test. Where the whole isn't significantly above 0 the interval is infinite.
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (part, whole))
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

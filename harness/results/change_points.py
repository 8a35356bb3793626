"""Where a series of nights changes for good: change points with a bounded rate of false alarms.

The method is PELT (Killick, Fearnhead and Eckley 2012, "Optimal detection of changepoints with a linear computational
cost", JASA 107, 1590-1598), as the package ruptures has it: of all ways to cut a series into stretches with one mean
each, the one with the least sum of squared distances from the means, plus a penalty for each cut.

The penalty is what makes noise alone rarely a change. One cut lessens the sum of squares of n values of pure noise by
at most the largest of n - 1 squared standard normal numbers, in units of the noise's variance. So the penalty is the
quantile of such a number at level / (n - 1), and with several series at level / (n - 1) / series (Bonferroni, as D. M.
Hawkins 1977, "Testing a sequence of observations for a shift in location", JASA 72, 180-186, bounds the same maximum).
Where the variance is estimated from the series itself, the quantile is that of F with the degrees of freedom of the
estimate, so that few nights ask for a larger step. docs/history.md has the measured rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import ruptures
from scipy import stats
from scipy.ndimage import median_filter

from harness.results.arrays import Array

LEVEL = 0.05  # probability of any change in a whole history of noise alone
LEAST = 3  # values, below which there is no before and after with a noise to compare with
_TO_ESTIMATE = 5  # values from which their own noise can be estimated
_TRIMMED = 10  # one in so many differences from night to night, and one at least, may be a step
_DOF = 0.55  # degrees of freedom for each difference that was looked at, found by simulation


@dataclass(frozen=True)
class Noise:
    """The standard deviation of a series where nothing changes, and the degrees of freedom of that estimate.

    ``dof`` is infinite where the deviation is known beforehand.
    """

    sd: float
    dof: float = math.inf


def own_noise(values: Sequence[float]) -> Noise | None:
    """The noise of a series from night to night, of which steps are no part; None for fewer than five values.

    From the squared differences of neighbours without the largest tenth of them, at least one: those may be steps. The
    rest is scaled to what it would be for normal noise.
    """
    if len(values) < _TO_ESTIMATE:
        return None
    squares = np.sort(np.diff(np.asarray(values, dtype=np.float64)) ** 2)
    count = len(squares)
    kept = count - max(1, round(count / _TRIMMED))
    return Noise(math.sqrt(float(squares[:kept].mean()) / _smallest_squares(kept / count) / 2), _DOF * count)


@cache
def _smallest_squares(share: float) -> float:
    """The mean of the smallest squares of standard normal numbers, of that share of them all."""
    end = float(stats.norm.ppf((1 + share) / 2))
    return (2 * float(stats.norm.cdf(end)) - 1 - 2 * end * float(stats.norm.pdf(end))) / share


def noise_of(values: Sequence[float], known: float, resolution: float, *, bound: bool = False) -> Noise | None:
    """The noise that changes are looked for in: the larger of the series' own and the ``known`` one.

    ``known`` is a standard deviation that was measured otherwise, 0 where none was; ``resolution`` is how finely values
    are stored, below which there is no noise. Where the series' own is larger, it counts with its doubt; where
    ``known`` is a ``bound`` of the noise, only if it is surely larger (99 %). None where nothing is known and the
    series is too short to say.
    """
    own = own_noise(values)
    if own is None:
        return Noise(max(known, resolution)) if known else None
    least = max(known, resolution)
    surely = least**2 * float(stats.chi2.ppf(0.99, own.dof)) / own.dof if bound and known else least**2
    return Noise(max(own.sd, least)) if own.sd**2 <= surely else own


def without_odd_values(values: Sequence[float]) -> list[float]:
    """The running median of three, at either end of a value and its neighbour: one odd value leaves no trace.

    A step that lasts two values stays where it is.
    """
    return [float(value) for value in median_filter(np.asarray(values, dtype=np.float64), 3, mode="mirror")]


def penalty(count: int, noise: Noise, series: int, level: float = LEVEL) -> float:
    """What a cut among ``count`` values must lessen the sum of squares by, in units of the noise's variance.

    ``series`` is how many series are looked at together: in all of them, if they are noise, the probability of any
    change is about ``level``.
    """
    return _quantile(level / max(1, series) / max(1, count - 1), noise.dof)


@cache
def _quantile(tail: float, dof: float) -> float:
    return float(stats.chi2.isf(tail, 1) if math.isinf(dof) else stats.f.isf(tail, 1, dof))


def change_points(
    values: Sequence[float], noise: Noise, *, series: int = 1, shortest: int = 1, level: float = LEVEL
) -> tuple[int, ...]:
    """The indices at which a new mean begins, in order; none in a series of fewer than three values.

    ``shortest`` is how many values a stretch must have: with 2, one odd night is no change, and a change is known after
    two nights of it. Raises ValueError where a value is not finite or the noise is no positive number.
    """
    table: Array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(table).all() or not 0 < noise.sd < math.inf:
        raise ValueError("change points need finite values and a noise above 0")
    if len(table) < max(LEAST, 2 * shortest) or not np.ptp(table):
        return ()
    # About the middle: the sums of squares of large values with a small noise would lose the digits that matter.
    scaled = ((table - np.median(table)) / noise.sd).reshape(-1, 1)
    # The linear kernel's cost is the sum of squares around the mean; min_size is the shortest stretch.
    search: Any = ruptures.KernelCPD(kernel="linear", min_size=shortest, jump=1).fit(scaled)
    ends = search.predict(pen=penalty(len(table), noise, series, level))
    return tuple(int(end) for end in ends[:-1])

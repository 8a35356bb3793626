"""How far values move when nothing is wrong: the noise floor from repeated clean runs, tolerances, false reds.

The runs are made under legal perturbations (threads, batch size, attention kernel, instruction set, one ulp of the
initial latents). Scale of a case: 1.4826 times the median absolute deviation of its values from the unperturbed
one, but no less than the pooled one over all cases. Max-T: for every run the largest deviation of any case, in
scales; a tolerance is MARGIN times the largest of those, in the case's own scale. So one number of scales holds for
all cases together, and a case that is noisier by nature gets more room (Westfall and Young 1993 for the max-T idea).

A figure may also have two values, each of them steady: a kernel is chosen by a switch that no test sets. One tolerance
around one of them would then be as wide as their distance, and catch nothing between them. Such a case has two modes,
its deviations are those from the nearer one, and the tolerance holds around each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MARGIN = 2.0
_TO_SD = 1.4826  # of a normal distribution, from its median absolute deviation
# Two modes are at least so many times as far apart as values of one mode are, in the case itself and in most cases.
_APART = 10.0
_LEAST_RUNS = 5  # perturbed runs, below which two groups of values may well be chance


@dataclass(frozen=True)
class Floor:
    """The noise of one case's metric: its ``scale``, the largest deviation ``seen``, and the ``tolerance`` from it.

    ``mode`` is the second value that it has, in the runs whose numbers are ``switched``; None where it has one.
    """

    scale: float
    seen: float
    tolerance: float
    mode: float | None = None
    switched: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Split:
    """A case's runs in two groups: those around the unperturbed value, and those (``switched``) around ``mode``."""

    mode: float
    switched: tuple[int, ...]
    width: float  # of the wider group
    gap: float


def floors(
    reference: Mapping[str, float], runs: Sequence[Mapping[str, float]], resolution: Mapping[str, float]
) -> tuple[dict[str, Floor], float]:
    """(floor of each case, max-T over all) for one metric.

    ``reference`` holds the unperturbed values by case, ``runs`` the same under each perturbation, ``resolution`` how
    finely a case's value is stored, which no tolerance can be below. Raises ValueError where a run lacks a case, where
    there is no run, and where a value isn't finite.
    """
    if not runs:
        raise ValueError("a noise floor needs at least one perturbed run")
    cases = list(reference)
    for run in runs:
        if lacking := [case for case in cases if case not in run]:
            raise ValueError(f"a perturbed run lacks {lacking[0]}")
    values = np.array([[run[case] for case in cases] for run in runs])  # (K, C)
    base = np.array([reference[case] for case in cases])
    if not (np.isfinite(values).all() and np.isfinite(base).all()):
        raise ValueError("a value that is not finite has no noise floor")
    least = np.array([resolution[case] for case in cases])
    splits = _splits(base, values, least)
    gaps = _deviations(base, values, splits)
    pooled = _TO_SD * float(np.median(gaps))
    scale = np.maximum(np.maximum(_TO_SD * np.median(gaps, axis=0), pooled), least)
    worst = float((gaps / scale).max(initial=0.0))
    tolerance = np.maximum(MARGIN * worst * scale, least)
    by_case: dict[str, Floor] = {}
    for i, case in enumerate(cases):
        split = splits.get(i)
        mode, switched = (split.mode, split.switched) if split else (None, ())
        by_case[case] = Floor(float(scale[i]), float(gaps[:, i].max()), float(tolerance[i]), mode, switched)
    return by_case, worst


def _deviations(base: np.ndarray, values: np.ndarray, splits: Mapping[int, _Split]) -> np.ndarray:
    """How far each value is from its mode, (K, C)."""
    gaps: np.ndarray = np.abs(values - base)
    for i, split in splits.items():
        switched = list(split.switched)
        gaps[switched, i] = np.abs(values[switched, i] - split.mode)
    return gaps


def _splits(base: np.ndarray, values: np.ndarray, least: np.ndarray) -> dict[int, _Split]:
    """The cases with two modes, by their number."""
    if len(values) < _LEAST_RUNS:
        return {}
    found = {i: _split(base[i], values[:, i]) for i in range(len(base))}
    splits = {i: s for i, s in found.items() if s is not None and s.gap >= _APART * max(s.width, least[i])}
    # What is noise in most cases is no switch in one of them.
    usual = _TO_SD * float(np.median(_deviations(base, values, splits)))
    return {i: s for i, s in splits.items() if s.gap >= _APART * usual}


def _split(base: float, values: np.ndarray) -> _Split | None:
    """One case's values, cut at the largest gap between neighbours; None where they are all the same."""
    every = np.sort(np.append(values, base))
    steps = np.diff(every)
    at = int(steps.argmax())
    if steps[at] == 0:
        return None
    low, high = every[: at + 1], every[at + 1 :]
    away = values > low[-1] if base <= low[-1] else values < high[0]
    switched = tuple(int(number) for number in np.flatnonzero(away))
    width = max(float(np.ptp(low)), float(np.ptp(high)))
    return _Split(float(np.median(values[away])), switched, width, float(steps[at]))


def resolution(value: float, digits: int) -> float:
    """Half a unit of the last of ``digits`` significant digits."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 10.0**-digits

"""How far values move when nothing is wrong: the noise floor from repeated clean runs, tolerances, false reds.

The runs are made under legal perturbations (threads, batch size, attention kernel, instruction set, one ulp of the
initial latents). Scale of a case: 1.4826 times the median absolute deviation of its values from the unperturbed
one, but no less than the pooled one over all cases. Max-T: for every run the largest deviation of any case, in
scales; a tolerance is MARGIN times the largest of those, in the case's own scale. So one number of scales holds for
all cases together, and a case that is noisier by nature gets more room (Westfall and Young 1993 for the max-T idea).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MARGIN = 1.5
_TO_SD = 1.4826  # of a normal distribution, from its median absolute deviation


@dataclass(frozen=True)
class Floor:
    """The noise of one case's metric: its ``scale``, the largest deviation ``seen``, and the ``tolerance`` from it."""

    scale: float
    seen: float
    tolerance: float


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
    gaps = np.array([[abs(run[case] - reference[case]) for case in cases] for run in runs])  # (K, C)
    if not np.isfinite(gaps).all():
        raise ValueError("a value that is not finite has no noise floor")
    least = np.array([resolution[case] for case in cases])
    pooled = _TO_SD * float(np.median(gaps))
    scale = np.maximum(np.maximum(_TO_SD * np.median(gaps, axis=0), pooled), least)
    worst = float((gaps / scale).max(initial=0.0))
    tolerance = np.maximum(MARGIN * worst * scale, least)
    floors_by_case = {
        case: Floor(float(scale[i]), float(gaps[:, i].max()), float(tolerance[i])) for i, case in enumerate(cases)
    }
    return floors_by_case, worst


def resolution(value: float, digits: int) -> float:
    """Half a unit of the last of ``digits`` significant digits."""
    return 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1) if value else 10.0**-digits

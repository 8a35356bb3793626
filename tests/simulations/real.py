"""Measured harms, scores and timings that simulations draw from; what they are is said where they are made."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from harness.results.arrays import Array

HARMS = Path(__file__).parent / "real_harms.safetensors"  # by tests/simulations/population.py
# (174, 12) float16: log of control / variant, less its median, in each round of every latency case of one run of the
# suite on two busy cores.
LOG_RATIOS = Path(__file__).parent / "real_log_ratios.safetensors"


@cache
def real_harms() -> Array:
    """(57, 512) harms in points of FLUX variants, by prompt."""
    return load_file(HARMS)["harm"].astype(np.float64)


@cache
def real_scores() -> Array:
    """(512, 8) scores of the control, by prompt and seed."""
    return load_file(HARMS)["score"].astype(np.float64)


@cache
def real_log_ratios() -> Array:
    """(174, 12) residuals of log-ratios of timings, by case and round; each case's median is 0."""
    return load_file(LOG_RATIOS)["log_ratio"].astype(np.float64)

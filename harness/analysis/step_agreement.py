"""Do blocks matter at those denoising steps at which they turn the states far? A correlation over (step, block).

The SD3.5-Large layer study proposes it: layers whose angular distance depends on the timestep would "have more to do
with denoising at some timesteps rather than others", and ablating them should degrade "the quality of predictions at
those timesteps".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.results.arrays import Array

_SMALLEST = 1e-12  # of a distance or an error, so that its logarithm is finite


def at_levels(edges: Array, table: Array, levels: Array) -> Array:
    """(S, L) rows of a (B, L) table whose bins of the noise level, cut by ``edges`` (B + 1,), hold the S levels."""
    bins = np.clip(np.searchsorted(edges, levels, side="right") - 1, 0, len(table) - 1)
    return np.asarray(table[bins], dtype=np.float64)


def step_agreement(angles: npt.ArrayLike, errors: npt.ArrayLike) -> Array:
    """(P,) correlation of angular distance and ablation error over steps and blocks, for each prompt.

    ``angles`` (S, L) are a block's angular distances at each step, ``errors`` (P, S, L) the error that skipping it
    makes there. Both as logarithms, from which each block's mean over steps and each step's mean over blocks are taken
    away: that a block matters more than others, or all blocks at a late step, is no agreement. 0 where one side does
    not vary beyond that. Raises ValueError for shapes that don't fit, or fewer than two steps or blocks.
    """
    a, e = (np.asarray(values, dtype=np.float64) for values in (angles, errors))
    if a.ndim != 2 or e.ndim != 3 or e.shape[1:] != a.shape or min(a.shape) < 2:
        raise ValueError(
            f"angles of {a.shape} and errors of {e.shape} are no (steps, blocks) and (prompts, steps, blocks)"
        )
    x, y = _interaction(a), _interaction(e)
    norm = np.sqrt((x**2).sum() * (y**2).sum(axis=(1, 2)))
    some = norm > _SMALLEST
    product = (x * y).sum(axis=(1, 2))
    return np.asarray(np.where(some, product / np.where(some, norm, 1.0), 0.0), dtype=np.float64)


def _interaction(values: Array) -> Array:
    """Logarithms of (..., S, L) values without the means of rows and of columns."""
    logs = np.log(np.maximum(values, _SMALLEST))
    rows, columns = logs.mean(axis=-1, keepdims=True), logs.mean(axis=-2, keepdims=True)
    return np.asarray(logs - rows - columns + logs.mean(axis=(-2, -1), keepdims=True), dtype=np.float64)

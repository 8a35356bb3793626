"""Squared drift between images in two parts: of their layout (an 8 x 8 grid of cell means), and of their detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from harness.results.arrays import Array, Images

_GRID = 8  # cells on a side


@dataclass(frozen=True)
class ImageDrift:
    """(P,) squared drift of the layout and of the detail; they add up to the mean squared error."""

    layout: Array
    detail: Array

    @property
    def layout_share(self) -> Array:
        """(P,) layout / (layout + detail); 1/2 where both are 0."""
        both = self.layout + self.detail
        return np.where(both > 0, self.layout / np.where(both > 0, both, 1.0), 0.5)


class ReseedDrift(NamedTuple):
    """Mean squared drift of the layout and of the detail between two seeds of one prompt."""

    layout: float
    detail: float


def squared_drift(a: Images, b: Images) -> ImageDrift:
    """Between (N, C, H, W) images, pair by pair, in units of 0..1 squared. Raises ValueError for other shapes.

    The layout's part is the difference of the cells' means; the detail's is the rest, which is orthogonal to it. One
    image is held in floating point at a time.
    """
    if a.shape != b.shape or a.ndim != 4 or min(a.shape[2:]) < _GRID:
        raise ValueError(f"images of shapes {a.shape} and {b.shape}, not two sets of (N, C, H, W) of at least 8 x 8")
    layout, detail = np.zeros(len(a)), np.zeros(len(a))
    rows, columns = (np.arange(_GRID + 1) * side // _GRID for side in a.shape[2:])
    area = np.outer(np.diff(rows), np.diff(columns))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        gap = (x.astype(np.float64) - y) / 255.0
        cells = np.add.reduceat(np.add.reduceat(gap, rows[:-1], axis=1), columns[:-1], axis=2) / area
        layout[i] = (cells**2 * area).sum() / gap.size
        detail[i] = max(0.0, float((gap**2).mean()) - layout[i])
    return ImageDrift(layout, detail)


def reseed_drift(seeds: Sequence[Images]) -> ReseedDrift:
    """The mean over prompts and pairs of seeds; ``seeds`` are each seed's images of the same prompts."""
    pairs = [squared_drift(a, b) for a, b in combinations(seeds, 2)]
    return ReseedDrift(float(np.mean([p.layout for p in pairs])), float(np.mean([p.detail for p in pairs])))

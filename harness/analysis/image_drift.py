"""What moved in an image: its layout, an averaged grid of 8 x 8 cells, or the detail that is left without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.results.arrays import Array, Images

GRID = 8  # cells on a side


@dataclass(frozen=True)
class ImageDrift:
    """(P,) squared drift of the layout and of the detail; they add up to the mean squared error."""

    layout: Array
    detail: Array

    @property
    def layout_share(self) -> Array:
        """(P,) layout over both: it rises and falls with their ratio, and is 1/2 where nothing moved at all."""
        both = self.layout + self.detail
        return np.where(both > 0, self.layout / np.where(both > 0, both, 1.0), 0.5)


def moved(a: Images, b: Images) -> ImageDrift:
    """Between uint8 images (N, C, H, W), pair by pair, in units of 0..1 squared. Raises ValueError for other shapes.

    The mean over a cell is the part of the difference that its grid sees, so that what is left is orthogonal to it.
    One image is held in floating point at a time.
    """
    if a.shape != b.shape or a.ndim != 4 or min(a.shape[2:]) < GRID:
        raise ValueError(f"images of shapes {a.shape} and {b.shape}, not two sets of (N, C, H, W) of at least 8 x 8")
    layout, detail = np.zeros(len(a)), np.zeros(len(a))
    rows, columns = (np.arange(GRID + 1) * side // GRID for side in a.shape[2:])
    area = np.outer(np.diff(rows), np.diff(columns))
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        gap = (x.astype(np.float64) - y) / 255.0
        cells = np.add.reduceat(np.add.reduceat(gap, rows[:-1], axis=1), columns[:-1], axis=2) / area
        layout[i] = (cells**2 * area).sum() / gap.size
        detail[i] = max(0.0, float((gap**2).mean()) - layout[i])
    return ImageDrift(layout, detail)


def reseeds(seeds: Sequence[Images]) -> tuple[float, float]:
    """(layout, detail): mean squared drift between two seeds of one prompt, over prompts and pairs of seeds."""
    pairs = [moved(a, b) for a, b in combinations(seeds, 2)]
    return float(np.mean([p.layout for p in pairs])), float(np.mean([p.detail for p in pairs]))

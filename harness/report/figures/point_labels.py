"""Labels beside the points of a scatter plot, where there is room for them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from harness.report.figures.sheet import Cloud
from harness.report.figures.style import FAINT
from harness.results.arrays import Array

_SIZE = 9.0  # points
_RADIUS = 3.0  # of a dot, in points
# Where a label may stand, best first: its centre, in half widths and half heights of it plus the dot's radius.
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def place_labels(axes: Axes, panel: Cloud) -> list[str]:
    """Label the points farthest from the middle first; one whose label would cover something has none. The labels."""
    finite = np.isfinite(panel.x) & np.isfinite(panel.y)
    if not finite.any():
        return []
    axes.get_xlim()  # settles the limits, which the transform needs
    scale = 72 / axes.figure.dpi
    points = (
        np.asarray(axes.transData.transform(np.stack([panel.x, panel.y], axis=1)[finite]), dtype=np.float64) * scale
    )
    frame = np.asarray(axes.bbox.extents, dtype=np.float64) * scale
    texts = [text for text, here in zip(panel.ticks, finite, strict=True) if here]
    boxes = [np.concatenate([point - _RADIUS, point + _RADIUS]) for point in points]
    written = []
    order = np.argsort(-_farness(points), kind="stable")
    for i in order:
        half = np.array([0.32 * _SIZE * len(texts[i]), 0.52 * _SIZE])
        for side in _SIDES:
            offset = np.array(side) * (half + _RADIUS)
            box = np.concatenate([points[i] + offset - half, points[i] + offset + half])
            inside = (box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:] + 4).all()
            if inside and not any(_meet(box, other) for j, other in enumerate(boxes) if j != i):
                axes.annotate(
                    texts[i],
                    (panel.x[finite][i], panel.y[finite][i]),
                    xytext=tuple(offset),
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    fontsize=_SIZE,
                    color=FAINT,
                )
                boxes.append(box)
                written.append(texts[i])
                break
    return written


def _farness(points: Array) -> Array:
    spread = np.maximum(points.std(axis=0), 1e-9)
    return np.asarray(np.linalg.norm((points - np.median(points, axis=0)) / spread, axis=1), dtype=np.float64)


def _meet(a: Array, b: Array) -> bool:
    return bool((a[:2] < b[2:]).all() and (b[:2] < a[2:]).all())

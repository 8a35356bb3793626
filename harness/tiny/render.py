"""Drawing layouts: anti-aliased signed-distance shapes on a flat background, vectorised over scenes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.results.arrays import Images
from harness.tiny import world
from harness.tiny.world import FloatArray, Layouts

SIDE = world.SIDE  # pixels
RADII = (4.75, 7.25)  # pixels, small and large
_STRIPE_PERIOD = 4  # pixels; the upper half of each period has the plain colour
STRIPE_SHADE = 0.42  # the darker tone of a striped object, as a share of its colour

PALETTE: FloatArray = np.array(
    [
        (0.90, 0.12, 0.12),
        (0.10, 0.70, 0.15),
        (0.15, 0.25, 0.92),
        (0.93, 0.85, 0.10),
        (0.88, 0.15, 0.85),
        (0.10, 0.80, 0.85),
    ],
    dtype=np.float32,
)
BACKGROUND_TONES: FloatArray = np.array([0.03, 0.58, 0.95], dtype=np.float32)


def coverage(shape: npt.NDArray[np.int64], radius: FloatArray, dx: FloatArray, dy: FloatArray) -> FloatArray:
    """Share of each pixel that a shape covers, in 0..1.

    ``shape`` and ``radius`` are (M,); ``dx`` and ``dy`` (M, H, W) are pixel offsets from the
    shape's centre. The coverage is the usual one-pixel ramp over the signed distance.
    """
    distance = np.empty_like(dx)
    for kind, field in enumerate((_circle, _square, _triangle, _cross)):
        chosen = shape == kind
        if chosen.any():
            r = radius[chosen][:, None, None]
            distance[chosen] = field(dx[chosen], dy[chosen], r)
    return np.clip(0.5 - distance, 0.0, 1.0)


def _circle(x: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    return np.sqrt(x * x + y * y) - r


def _square(x: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    return np.maximum(np.abs(x), np.abs(y)) - 0.88 * r


def _triangle(x: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    # Apex up, centred on its bounding box; the two sides have slope 2:1.
    side = (2.0 * np.abs(x) - (y + r)) / np.sqrt(np.float32(5.0))
    return np.maximum(side, y - r)


def _cross(x: FloatArray, y: FloatArray, r: FloatArray) -> FloatArray:
    ax, ay = np.abs(x), np.abs(y)
    arm = 0.36 * r
    return np.minimum(np.maximum(ax - r, ay - arm), np.maximum(ax - arm, ay - r))


def pixel_grid(side: int = SIDE) -> tuple[FloatArray, FloatArray]:
    """(x, y) of the pixel centres, each (side, side), in pixels."""
    axis = np.arange(side, dtype=np.float32) + 0.5
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def stripes(side: int = SIDE) -> FloatArray:
    """(side, 1) shade of the striped texture, fixed to the image so that it says nothing of the place."""
    row = np.arange(side) % _STRIPE_PERIOD
    return np.where(row < _STRIPE_PERIOD // 2, 1.0, STRIPE_SHADE).astype(np.float32)[:, None]


def render(layouts: Layouts) -> Images:
    """(N, 3, SIDE, SIDE) uint8 images of the layouts."""
    n = len(layouts)
    x, y = pixel_grid()
    image = np.broadcast_to(BACKGROUND_TONES[layouts.background][:, None, None, None], (n, 3, SIDE, SIDE)).copy()
    radii = np.array(RADII, dtype=np.float32)
    for j in range(2):
        there = layouts.count > j
        cx, cy = (layouts.centres[there, j, k, None, None] * SIDE for k in range(2))
        alpha = coverage(layouts.shape[there, j], radii[layouts.size[there, j]], x - cx, y - cy)[:, None]
        shade = np.where((layouts.texture[there, j] == 1)[:, None, None], stripes(), np.float32(1.0))[:, None]
        tone = PALETTE[layouts.colour[there, j]][:, :, None, None] * shade
        image[there] += alpha * (tone - image[there])
    return np.round(image * 255.0).astype(np.uint8)

"""Structural similarity of pairs of images (Wang et al. 2004, IEEE TIP 13), with a Gaussian window of 11 x 11 pixels.

The figures are torchmetrics', to 1e-12. It filters with two-dimensional windows, 121 products a pixel in a depthwise
convolution that is slow in float64; in float32 an image has a similarity of .9996 with itself. A Gaussian window is the
product of a column and a row, so here the filter is two products with banded matrices, which is what BLAS is fast at.
"""

from __future__ import annotations

import numpy as np

from harness.metrics.batches import in_portions
from harness.results.arrays import Images, Values

PIXELS = 2**22  # compared at a time: some 500 bytes are held for each
_WINDOW, _SIGMA = 11, 1.5
_TILE = 64  # rows filtered by one matrix: larger ones multiply by more zeros
_EDGES = ((0, 0), (0, 0), (_WINDOW // 2, _WINDOW // 2), (_WINDOW // 2, _WINDOW // 2))
_C1, _C2 = 0.01**2, 0.03**2  # for values in 0..1


def ssim(a: Images, b: Images) -> Values:
    """The (N,) similarities of (N, 3, H, W) uint8 images, in float64; exactly 1 for equal ones.

    Images are reflected at their edges, and the mean is over all pixels.
    """

    def read(x: Images, y: Images) -> Values:
        one, other = (np.pad(t.astype(np.float64) / 255.0, _EDGES, mode="reflect") for t in (x, y))
        mean_a, mean_b = _filtered(one), _filtered(other)
        products = mean_a * mean_b
        squares = mean_a**2 + mean_b**2
        variance = np.maximum(_filtered(one**2) - mean_a**2, 0.0) + np.maximum(_filtered(other**2) - mean_b**2, 0.0)
        covariance = _filtered(one * other) - products
        values = ((2 * products + _C1) * (2 * covariance + _C2)) / ((squares + _C1) * (variance + _C2))
        return np.where((x == y).all(axis=(1, 2, 3)), 1.0, values.reshape(len(x), -1).mean(axis=1))

    return in_portions(read, a, b, most=len(a), budget=PIXELS)


def _filtered(planes: Values) -> Values:
    """(N, C, H + 10, W + 10) planes through the window: (N, C, H, W)."""
    return _along_rows(np.swapaxes(_along_rows(np.swapaxes(planes, 2, 3)), 2, 3))


def _along_rows(planes: Values) -> Values:
    """(N, C, H + 10, W) planes with the window's column applied to the rows: (N, C, H, W)."""
    rows = planes.shape[2] - _WINDOW + 1
    tiles = [(start, min(_TILE, rows - start)) for start in range(0, rows, _TILE)]
    bands = {size: _band(size) for _, size in tiles}
    return np.concatenate(
        [bands[size] @ planes[:, :, start : start + size + _WINDOW - 1] for start, size in tiles], axis=2
    )


def _band(rows: int) -> Values:
    """The (rows, rows + 10) matrix that filters: row i holds the window from column i on."""
    distances = np.arange(_WINDOW) - (_WINDOW - 1) / 2
    window = np.exp(-((distances / _SIGMA) ** 2) / 2)
    matrix = np.zeros((rows, rows + _WINDOW - 1))
    for row in range(rows):
        matrix[row, row : row + _WINDOW] = window / window.sum()
    return matrix

"""Distances between sets of images, on the judge's features.

FID at the sizes that ablations have is precise and wrong: at N = 64 its bias is far larger than its spread.
So it is only ever shown against its null, control against control on disjoint seeds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from harness.results.arrays import Features

LEAST = 32  # images; below it FID@N is not shown


class _Given(nn.Module):
    """torchmetrics hands images to its extractor verbatim, so features can be handed through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(a: Features, b: Features) -> float:
    """Frechet distance of two (N, d) feature sets, by torchmetrics; float32 resolution.

    Raises ValueError with fewer than LEAST rows in either set.
    """
    if min(len(a), len(b)) < LEAST:
        raise ValueError(f"FID needs at least {LEAST} images, got {len(a)} and {len(b)}")
    # A quarter of the time that a lab's imports take, and with fewer prompts nothing asks for it.
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(a.shape[1]), normalize=True)
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(a).double(), real=True)
    metric.update(torch.from_numpy(b).double(), real=False)
    return float(metric.compute())


def frechet(a: Features, b: Features) -> float:
    """The same, exactly and without a (d, d) matrix, for features of which there are more than images.

    The covariance term is tr A + tr B - 2 |X Y'|* / sqrt((n - 1)(m - 1)) with centred rows and the nuclear norm; it
    is exactly 0 at equality. Raises ValueError as :func:`fid`.
    """
    if min(len(a), len(b)) < LEAST:
        raise ValueError(f"FID needs at least {LEAST} images, got {len(a)} and {len(b)}")
    if a.shape == b.shape and (a == b).all():
        return 0.0
    x, y = (v.astype(np.float64) for v in (a, b))
    gap = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    x, y = ((v - v.mean(axis=0)) / np.sqrt(len(v) - 1) for v in (x, y))
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(gap + (x**2).sum() + (y**2).sum() - 2 * shared)

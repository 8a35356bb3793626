"""Distances between sets of images, on the judge's features.

FID at the sizes that ablations have is precise and wrong: at N = 64 its bias is far larger than its spread.
So it is only ever shown against its null, control against control on disjoint seeds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance

LEAST = 32  # images; below it FID@N is not shown


class _Given(nn.Module):
    """torchmetrics hands images to its extractor verbatim, so features can be handed through."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, features: Tensor) -> Tensor:
        return features


def fid(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Frechet distance of two (N, d) feature sets, by torchmetrics; float32 resolution.

    Raises ValueError with fewer than LEAST rows in either set.
    """
    if min(len(a), len(b)) < LEAST:
        raise ValueError(f"FID needs at least {LEAST} images, got {len(a)} and {len(b)}")
    metric = FrechetInceptionDistance(feature=_Given(a.shape[1]), normalize=True)
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(a).double(), real=True)
    metric.update(torch.from_numpy(b).double(), real=False)
    return float(metric.compute())

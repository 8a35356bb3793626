"""Distances between an image (or latent) and its control, pair by pair; all (N,) float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

Values = npt.NDArray[np.float64]
PSNR_CEILING = 100.0  # dB; identical images have infinite PSNR, which no mean survives


def latent_distance(a: Tensor, b: Tensor) -> Values:
    """1 - cosine of the flattened latents, in float64; 1 where either is not finite."""
    x, y = (t.double().flatten(1) for t in (a, b))
    cosine = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
    same = (x == y).all(dim=1)
    distance = torch.where(same, torch.zeros_like(cosine), 1 - cosine)
    return torch.nan_to_num(distance, nan=1.0).numpy()


def feature_distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> Values:
    """1 - cosine of unit-length features; exactly 0 for equal ones."""
    same = (a == b).all(axis=1)
    return np.where(same, 0.0, 1.0 - (a.astype(np.float64) * b).sum(axis=1))


def mse(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> Values:
    """Mean squared error of uint8 images in units of 0..1."""
    return ((a.astype(np.float64) - b) / 255.0).__pow__(2).mean(axis=(1, 2, 3))


def psnr(error: Values) -> Values:
    """Peak signal-to-noise ratio in dB from mean squared errors, at most PSNR_CEILING."""
    return np.minimum(PSNR_CEILING, -10.0 * np.log10(np.maximum(error, 1e-12)))


def ssim(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> Values:
    """Structural similarity by torchmetrics; the data range is given, or it would depend on the batch."""
    # In float32 an image has an SSIM of .9996 with itself.
    x, y = (torch.from_numpy(t).double().div(255) for t in (a, b))
    values = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    assert isinstance(values, Tensor)
    return np.where((a == b).all(axis=(1, 2, 3)), 1.0, values.numpy())

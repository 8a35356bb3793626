"""Distances between an image (or latent) and its control, pair by pair; all (N,) float64."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.metrics.batches import in_portions
from harness.results.arrays import Features, Images, Values

_PSNR_CEILING = 100.0  # dB; identical images have infinite PSNR, which no mean survives
PIXELS = 2**22  # compared at a time


def latent_distance(a: Tensor, b: Tensor) -> Values:
    """1 - cosine of the flattened latents, in float64; 1 where either is not finite."""
    x, y = (t.double().flatten(1) for t in (a, b))
    cosine = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
    same = (x == y).all(dim=1)
    distance = torch.where(same, torch.zeros_like(cosine), 1 - cosine)
    return torch.nan_to_num(distance, nan=1.0).numpy()


def cosine_distance(a: Features, b: Features) -> Values:
    """1 - cosine of (N, d) features of any length, in float64; exactly 0 for equal ones."""
    x, y = (v.astype(np.float64) for v in (a, b))
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    cosine = (x * y).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
    return np.where((a == b).all(axis=1), 0.0, 1.0 - cosine)


def feature_distance(a: Features, b: Features) -> Values:
    """1 - cosine of unit-length features; exactly 0 for equal ones."""
    same = (a == b).all(axis=1)
    return np.where(same, 0.0, 1.0 - (a.astype(np.float64) * b).sum(axis=1))


def mse(a: Images, b: Images) -> Values:
    """Mean squared error of uint8 images in units of 0..1."""

    def read(x: Images, y: Images) -> Values:
        return ((x.astype(np.float64) - y) / 255.0).__pow__(2).mean(axis=(1, 2, 3))

    return in_portions(read, a, b, most=len(a), budget=PIXELS)


def psnr(error: Values) -> Values:
    """Peak signal-to-noise ratio in dB from mean squared errors, at most PSNR_CEILING."""
    return np.minimum(_PSNR_CEILING, -10.0 * np.log10(np.maximum(error, 1e-12)))

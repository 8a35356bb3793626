"""One set of images, and what is read from it or from two such sets without a judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harness.metrics import pairs
from harness.metrics.metric_set import Reading
from harness.models.sampler import Samples
from harness.results.arrays import Features, Images

FLAT = 2.0 / 255.0  # standard deviation of an image; below it the image is constant
GREY = 128


@dataclass(frozen=True)
class Observation:
    """One set of images, one per prompt, with everything that is read from them."""

    samples: Samples
    images: Images
    collapsed: npt.NDArray[np.bool_]
    features: Features
    scores: npt.NDArray[np.float64]
    least: npt.NDArray[np.float64] | None  # over the sentences of each prompt, where one was split
    attributes: Mapping[str, npt.NDArray[np.float64]]
    extra: Reading


def to_bytes(pixels: Tensor) -> tuple[Images, npt.NDArray[np.bool_]]:
    """(N, 3, H, W) bytes of pixels in 0..1, and which of the images (N,) collapsed: constant, or not finite.

    A collapsed image becomes grey, so that it scores like grey.
    """
    broken = ~torch.isfinite(pixels).flatten(1).all(dim=1)
    images = pixels.nan_to_num(0.5, 0.5, 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    flat = images.reshape(len(images), -1).std(axis=1) / 255.0 < FLAT
    collapsed = broken.numpy() | flat
    images[collapsed] = GREY
    return images, collapsed


def distances(a: Observation, b: Observation) -> dict[str, npt.NDArray[np.float64]]:
    """How far two sets of images of the same prompts are apart, (N,) by name."""
    error = pairs.mse(a.images, b.images)
    return {
        "latent": pairs.latent_distance(a.samples.latents, b.samples.latents),
        "mse": error,
        "psnr": pairs.psnr(error),
        "ssim": 1.0 - pairs.ssim(a.images, b.images),
        "image": pairs.feature_distance(a.features, b.features),
    }

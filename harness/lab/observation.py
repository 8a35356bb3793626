"""One set of images with everything that is computed from it, and the distances between two such sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from harness.metrics import pairs
from harness.metrics.metric_set import Reading
from harness.metrics.ssim import ssim
from harness.models.sampler import latents_sha256
from harness.results.arrays import Array, Features, Images, Values

_FLAT = 2.0 / 255.0  # standard deviation of an image; below it the image is constant
GREY = 128


@dataclass(frozen=True)
class JudgedLayers:
    """The decompositions of N pictures: ``layers`` (N, L, 4, H, W) uint8, and the judge's ``scores`` (N, L) of each."""

    layers: Tensor
    scores: Array

    def of(self, rows: Sequence[int]) -> JudgedLayers:
        """Those of some pictures only, in the order of their numbers."""
        return JudgedLayers(self.layers[list(rows)], self.scores[list(rows)])


@dataclass(frozen=True)
class Observation:
    """One image for each of N prompts, with everything that is computed from them.

    ``latents`` (N, ...) are those that ``images``, (N, 3, H, W) uint8, were decoded from, on the CPU. ``features``
    (N, d) and ``scores`` (N,) are the judge's; ``least`` (N,) are the scores of each prompt's worst sentence, None
    where no prompt is longer than the judge reads. ``extra`` is what the other metrics gave. ``layers`` are those whose
    composites the images are, None where they are no composites.
    """

    latents: Tensor
    images: Images
    collapsed: npt.NDArray[np.bool_]
    features: Features
    scores: Values
    least: Values | None
    extra: Reading
    layers: JudgedLayers | None = None

    @property
    def latents_sha256(self) -> str:
        """The hash of the latents."""
        return latents_sha256(self.latents)


class ByteImages(NamedTuple):
    """(N, 3, H, W) images, and which of them (N,) collapsed."""

    images: Images
    collapsed: npt.NDArray[np.bool_]


def to_bytes(pixels: Tensor) -> ByteImages:
    """Bytes of (N, 3, H, W) pixels in 0..1. An image that is constant or not finite has collapsed.

    A collapsed image becomes grey, so that it scores like grey.
    """
    broken = ~torch.isfinite(pixels).flatten(1).all(dim=1)
    images = pixels.nan_to_num(0.5, 0.5, 0.5).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    flat = images.reshape(len(images), -1).std(axis=1) / 255.0 < _FLAT
    collapsed = broken.numpy() | flat
    images[collapsed] = GREY
    return ByteImages(images, collapsed)


def of_prompts(observation: Observation, indices: Sequence[int]) -> Observation:
    """The same of some prompts only, in the order of their ``indices``."""
    rows = list(indices)
    extra = observation.extra
    return Observation(
        latents=observation.latents[rows],
        images=observation.images[rows],
        collapsed=observation.collapsed[rows],
        features=observation.features[rows],
        scores=observation.scores[rows],
        least=None if observation.least is None else observation.least[rows],
        extra=Reading(
            {name: values[rows] for name, values in extra.features.items()},
            {name: values[rows] for name, values in extra.scores.items()},
            {name: values[rows] for name, values in extra.grades.items()},
        ),
        layers=None if observation.layers is None else observation.layers.of(rows),
    )


def distances(a: Observation, b: Observation) -> dict[str, Values]:
    """Distances between two sets of images of the same N prompts, (N,) by name."""
    error = pairs.mse(a.images, b.images)
    return {
        "latent": pairs.latent_distance(a.latents, b.latents),
        "mse": error,
        "psnr": pairs.psnr(error),
        "ssim": 1.0 - ssim(a.images, b.images),
        "image": pairs.feature_distance(a.features, b.features),
    }

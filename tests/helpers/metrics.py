"""Metrics as another package would write them, and images for them."""

from __future__ import annotations

import numpy as np

from harness.metrics.base import Embedder, Grader, PairDistance, TextScorer


class Means(Embedder):
    name, id, weights = "means", "mean colours of quarters", "0" * 12

    def __call__(self, images):
        n, c, h, w = images.shape
        return images.reshape(n, c, 2, h // 2, 2, w // 2).mean(axis=(3, 5)).reshape(n, -1).astype(np.float32)


class Gap(PairDistance):
    name, id, weights = "gap", "largest difference", "1" * 12

    def __call__(self, a, b):
        return np.abs(a.astype(float) - b).max(axis=(1, 2, 3))


class Redness(TextScorer):
    name, id, weights = "redness", "red, where the text says so", "2" * 12

    def __call__(self, images, texts):
        return images[:, 0].mean(axis=(1, 2)) * np.array(["red" in text for text in texts])


class Tones(Grader):
    name, id, weights = "tones", "brightness, and how much of it is blue", "4" * 12
    grades = ("bright", "blue")

    def __call__(self, images, texts):
        return {name: part.mean(axis=(1, 2, 3)) / 255 for name, part in (("bright", images), ("blue", images[:, 2:]))}


def some(n, seed):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)


def read(panel, images):
    return images, panel.read(images, ["a red cat"] * len(images))

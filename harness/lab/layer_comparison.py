"""Decompositions into RGBA layers: the judge's scores of their layers, and how far two sets of them are apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from harness.lab.observation import JudgedLayers, to_bytes
from harness.metrics.judge import OpenClipJudge
from harness.models.layers import alpha_drift, composite, layer_drift, over_backdrop
from harness.results.arrays import Features, Values
from harness.results.layer_figures import LayerDistances, layer_figures


class LayerFeatures(NamedTuple):
    """The judge's features of L layers alone and then of their composite, (L + 1, d), and the scores (L + 1,)."""

    features: Features
    scores: Values


class LayerFigures(NamedTuple):
    """What a variant did to the layers of N pictures: ``values`` (N,) by name, of each; ``summary`` of all of them."""

    values: dict[str, Values]
    summary: dict[str, float]


def judge_layers(judge: OpenClipJudge, layers: Tensor, text: str) -> LayerFeatures:
    """Score (L, 4, H, W) uint8 layers and their composite for the text of their picture.

    One decomposition at a time: all images at once could fill the memory.
    """
    pixels = _pixels(layers)
    images = to_bytes(torch.cat([over_backdrop(pixels), composite(pixels)[None]])).images
    features = judge.embed_images(images)
    return LayerFeatures(features, judge.score(features, [text] * len(images)).astype(np.float64))


def layer_distances(a: Iterable[Tensor], b: Iterable[Tensor]) -> LayerDistances:
    """The distances between decompositions of the same pictures, each (L, 4, H, W) uint8."""
    pairs = [(_pixels(x), _pixels(y)) for x, y in zip(a, b, strict=True)]
    return LayerDistances(
        colour=torch.stack([layer_drift(x, y) for x, y in pairs]).double().numpy(),
        alpha=torch.stack([alpha_drift(x, y) for x, y in pairs]).double().numpy(),
        composite=torch.stack([(composite(x) - composite(y)).square().mean() for x, y in pairs]).double().numpy(),
    )


def compare_layers(control: JudgedLayers, variant: JudgedLayers) -> LayerFigures:
    """The figures of a variant's layers against the control's of the same pictures and seed."""
    distances, harm = layer_distances(control.layers, variant.layers), control.scores - variant.scores
    values = {
        "layer_drift": distances.colour.mean(axis=1),
        "alpha_drift": distances.alpha.mean(axis=1),
        "layer_harm": harm.mean(axis=1),
        "composite_drift": distances.composite,
    }
    return LayerFigures(values, layer_figures(distances, harm))


def between_seeds(seeds: Sequence[JudgedLayers]) -> dict[str, float]:
    """The control's own figures: the mean distances of layers and of alpha between two seeds of one picture."""
    distances = [layer_distances(a.layers, b.layers) for a, b in combinations(seeds, 2)]
    return {
        "reseed_layer": float(np.mean([each.colour.mean() for each in distances])),
        "reseed_alpha": float(np.mean([each.alpha.mean() for each in distances])),
    }


def _pixels(layers: Tensor) -> Tensor:
    return layers.float().div(255)

"""Distances of pairs of images."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics import distribution, pairs
from tests.helpers.metrics import some


def test_distances_are_zero_at_equality_and_grow(judge, scenes):
    _, images, _ = scenes
    features = judge.embed_images(images)
    brighter = judge.embed_images(np.clip(images.astype(int) + 40, 0, 255).astype(np.uint8))
    assert (pairs.feature_distance(features, features) == 0).all()
    assert (pairs.feature_distance(features, brighter) > 0).mean() > 0.99
    assert distribution.fid(features, features) == pytest.approx(0, abs=1e-4)
    assert distribution.fid(features, brighter) > 1e-3


def test_pairs_in_portions_are_the_same_bitwise(monkeypatch):
    a, b = some(7, 0), some(7, 1)
    whole = pairs.mse(a, b)
    monkeypatch.setattr(pairs, "PIXELS", 2 * 8 * 8)
    assert np.array_equal(whole, pairs.mse(a, b))


def test_latents_that_are_not_finite_have_drift(lab):
    from harness.metrics.pairs import latent_distance

    latents = lab.control.seeds[0].latents
    broken = latents.clone()
    broken[0] = float("nan")
    distance = latent_distance(latents, broken)
    assert distance[0] == 1
    assert (distance[1:] == 0).all()

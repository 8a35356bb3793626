"""Distances of pairs of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

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
    a, b = some(7, 0).repeat(3, axis=2).repeat(3, axis=3), some(7, 1).repeat(3, axis=2).repeat(3, axis=3)
    whole = pairs.mse(a, b), pairs.ssim(a, b)
    monkeypatch.setattr(pairs, "PIXELS", 2 * 24 * 24)
    assert all(np.array_equal(x, y) for x, y in zip(whole, (pairs.mse(a, b), pairs.ssim(a, b)), strict=True))
    x, y = (torch.from_numpy(t).double() / 255 for t in (a, b))
    direct = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    assert np.allclose(whole[1], direct.numpy(), atol=1e-12)
    assert pairs.ssim(a[:1], b[:1]) == pytest.approx(whole[1][:1])


def test_latents_that_are_not_finite_have_drift(lab):
    from harness.metrics.pairs import latent_distance

    latents = lab.control.seeds[0].samples.latents
    broken = latents.clone()
    broken[0] = float("nan")
    distance = latent_distance(latents, broken)
    assert distance[0] == 1
    assert (distance[1:] == 0).all()

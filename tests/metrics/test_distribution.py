"""Distances between sets of images are torchmetrics' FID."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics import distribution


def test_fid_is_its_low_rank_form(judge, scenes):
    """torchmetrics against the exact form for few images: tr1 + tr2 - 2 |Xc Yc'|* / sqrt((n-1)(m-1))."""
    _, images, _ = scenes
    features = judge.embed_images(images).astype(np.float64)
    x, y = features[:64], features[64:]
    xc, yc = x - x.mean(0), y - y.mean(0)
    traces = (xc**2).sum() / (len(x) - 1) + (yc**2).sum() / (len(y) - 1)
    nuclear = np.linalg.svd(xc @ yc.T, compute_uv=False).sum() / np.sqrt((len(x) - 1) * (len(y) - 1))
    exact = ((x.mean(0) - y.mean(0)) ** 2).sum() + traces - 2 * nuclear
    assert distribution.fid(x.astype(np.float32), y.astype(np.float32)) == pytest.approx(exact, rel=1e-3, abs=1e-4)


def test_fid_of_too_few_images_is_refused(judge, scenes):
    _, images, _ = scenes
    features = judge.embed_images(images[:8])
    with pytest.raises(ValueError, match="at least 32 images, got 8"):
        distribution.fid(features, features)


@given(st.integers(0, 1000), st.sampled_from([(32, 40, 8), (40, 33, 64), (36, 36, 200)]))
def test_frechet_is_torchmetrics_fid(seed, shape):
    n, m, d = shape
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)).astype(np.float32)
    y = (rng.normal(size=(m, d)) * rng.uniform(0.5, 2, d) + rng.normal(size=d)).astype(np.float32)
    assert distribution.frechet(x, y) == pytest.approx(distribution.fid(x, y), rel=1e-3)


def test_frechet_of_equal_sets_is_nothing_and_of_few_is_refused():
    x = np.random.default_rng(0).normal(size=(40, 300)).astype(np.float32)
    assert distribution.frechet(x, x.copy()) == 0
    with pytest.raises(ValueError, match="at least 32 images, got 8 and 40"):
        distribution.frechet(x[:8], x)

"""Structural similarity by separable windows is torchmetrics' by two-dimensional ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.image import structural_similarity_index_measure

from harness.metrics import ssim as module
from harness.metrics.ssim import ssim


def drawn(shape, seed, noise=40):
    """Images and noisy ones beside them, (N, 3, H, W) uint8 each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, shape, dtype=np.uint8)
    return images, np.clip(images + rng.integers(-noise, noise + 1, shape), 0, 255).astype(np.uint8)


def slowly(a, b):
    """The values of torchmetrics, in float64."""
    x, y = (torch.from_numpy(t).double() / 255 for t in (a, b))
    return structural_similarity_index_measure(x, y, data_range=1.0, reduction="none").reshape(len(a)).numpy()


@given(st.integers(1, 3), st.integers(6, 90), st.integers(6, 90), st.integers(0, 2**16), st.integers(0, 255))
def test_it_is_torchmetrics(count, height, width, seed, noise):
    a, b = drawn((count, 3, height, width), seed, noise)
    assert np.allclose(ssim(a, b), slowly(a, b), rtol=0, atol=1e-12)


def test_several_tiles_are_one_image():
    a, b = drawn((1, 3, 2 * 64 + 1, 200), 0)
    assert np.allclose(ssim(a, b), slowly(a, b), rtol=0, atol=1e-12)


def test_flat_images():
    a = np.full((2, 3, 16, 16), 128, np.uint8)
    b = np.stack([a[0], np.zeros_like(a[0])])
    assert ssim(a, b)[0] == 1
    assert ssim(a, b) == pytest.approx(slowly(a, b), abs=1e-12)


def test_an_image_is_wholly_similar_to_itself():
    a, _ = drawn((3, 3, 20, 20), 1)
    assert (ssim(a, a) == 1).all()


def test_portions_are_the_same_bitwise(monkeypatch):
    a, b = drawn((7, 3, 24, 24), 2)
    whole = ssim(a, b)
    monkeypatch.setattr(module, "PIXELS", 2 * 24 * 24)
    assert np.array_equal(whole, ssim(a, b))

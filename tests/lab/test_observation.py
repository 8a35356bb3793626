"""Pixels become bytes, and what is no image becomes grey and is said to have collapsed."""

from __future__ import annotations

import numpy as np
import torch

from harness.lab.observation import GREY, to_bytes


def test_bytes_are_rounded_and_clipped():
    pixels = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    found = to_bytes(pixels)
    assert found.images.dtype == np.uint8
    assert not found.collapsed.any()
    expected = np.clip(np.round(pixels.numpy().astype(np.float64).clip(0, 1) * 255), 0, 255)
    assert np.abs(found.images - expected).max() <= 1  # the half of a byte may be rounded either way
    assert (found.images[pixels.numpy() < 0] == 0).all()
    assert (found.images[pixels.numpy() > 1] == 255).all()


def test_constant_and_infinite_images_are_grey_and_their_neighbours_stay():
    good = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    spoilt = good.clone()
    spoilt[0, 0, 0, 0] = float("nan")
    flat = torch.full_like(good, 0.2) + 0.001 * good
    found = to_bytes(torch.cat([good, spoilt, flat, torch.full_like(good, torch.inf)]))
    assert found.collapsed.tolist() == [False, True, True, True]
    assert (found.images[1:] == GREY).all()
    assert np.array_equal(found.images[:1], to_bytes(good).images)

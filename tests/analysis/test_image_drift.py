"""Drift of images, in layout and in detail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.image_drift import reseed_drift, squared_drift


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 30), st.integers(8, 30), st.integers(0, 10**6))
def test_layout_and_detail_are_the_two_parts_of_the_error(height, width, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, size=(2, 3, 3, height, width), dtype=np.uint8)
    found = squared_drift(a, b)
    gap = (a.astype(float) - b) / 255
    grid = np.zeros_like(gap)
    for i in range(8):
        for j in range(8):
            rows, columns = slice(i * height // 8, (i + 1) * height // 8), slice(j * width // 8, (j + 1) * width // 8)
            grid[:, :, rows, columns] = gap[:, :, rows, columns].mean(axis=(2, 3), keepdims=True)
    assert found.layout == pytest.approx((grid**2).mean(axis=(1, 2, 3)), abs=1e-12)
    assert found.detail == pytest.approx(((gap - grid) ** 2).mean(axis=(1, 2, 3)), abs=1e-12)
    assert np.all((found.layout_share > 0) & (found.layout_share <= 1))


def test_a_shift_of_the_mean_is_layout_and_noise_is_detail():
    image = np.full((1, 3, 64, 64), 100, dtype=np.uint8)
    brighter = squared_drift(image, image + np.uint8(20))
    assert brighter.detail[0] == pytest.approx(0, abs=1e-12)
    assert brighter.layout[0] > 0
    checks = (
        image
        + (np.indices((64, 64)).sum(axis=0) % 2 * 20).astype(np.uint8)
        - (np.indices((64, 64)).sum(axis=0) % 2 == 0) * np.uint8(20)
    )
    assert squared_drift(image, checks.astype(np.uint8)).layout_share[0] < 0.01
    assert squared_drift(image, image).layout_share[0] == 0.5
    with pytest.raises(ValueError, match="not two sets of"):
        squared_drift(image, image[:, :, :4])
    assert reseed_drift([image, brighter_image := image + np.uint8(20), image]) == pytest.approx(
        (2 / 3 * squared_drift(image, brighter_image).layout[0], 0), abs=1e-12
    )

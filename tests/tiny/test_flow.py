"""The times of flow matching."""

from __future__ import annotations

import numpy as np

from harness.tiny.flow import draw_times


def test_times_lie_between_noise_and_data():
    times = draw_times(np.random.default_rng(0), 1000)
    assert times.min() >= 0
    assert times.max() <= 1

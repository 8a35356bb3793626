"""Images in portions: all of them, in order, within the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.batches import in_portions, portions


@given(st.integers(0, 40), st.integers(0, 50), st.integers(1, 9), st.integers(1, 200))
def test_portions_cover_everything_once_within_the_budget(number, pixels, most, budget):
    cuts = list(portions(number, pixels, most, budget))
    assert [i for cut in cuts for i in range(number)[cut]] == list(range(number))
    for cut in cuts:
        size = cut.stop - cut.start
        assert 1 <= size <= most
        assert size == 1 or size * pixels <= budget


def test_portions_are_put_together_in_order():
    a, b = np.random.default_rng(0).integers(0, 256, (2, 7, 3, 4, 4), dtype=np.uint8)
    sizes = []

    def gap(x, y):
        sizes.append(len(x))
        return (x.astype(np.float64) - y).mean(axis=(1, 2, 3))

    assert np.array_equal(in_portions(gap, a, b, most=3), gap(a, b))
    assert sizes == [3, 3, 1, 7]
    assert np.array_equal(in_portions(gap, a, b, most=9, budget=32), gap(a, b))
    assert sizes[4:-1] == [2, 2, 2, 1]

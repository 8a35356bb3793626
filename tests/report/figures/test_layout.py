"""The layout of figures: no tick overlaps another."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from harness.report.figures.layout import shown_ticks
from harness.report.figures.sheet import block_axis


@given(st.integers(1, 120), st.floats(0.8, 8.0), st.booleans())
def test_ticks_never_overlap(count, length, upright):
    axis = block_axis("block", count)
    kept = shown_ticks(axis, length, upright=upright)
    assert kept[0] == 0
    assert len(kept) == len(set(kept))
    for a, b in itertools.pairwise(kept):
        width = 0.125 if upright else 0.08 * max(len(axis.ticks[a]), len(axis.ticks[b]))
        assert (b - a) * length / count >= width

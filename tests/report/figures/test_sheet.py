"""Axes and scales of figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.figures.sheet import Heat, Scale, SymLog, bin_names, block_axis, span, state_axis, symlog
from tests.helpers.analyses import sheets_of


@given(st.integers(3, 60), st.data())
def test_groups_are_cut_off_before_their_first_block(length, data):
    k = data.draw(st.integers(1, length - 1))
    cells = block_axis("block", length, (0, k))
    (cut,) = cells.cuts
    assert cells.ticks[int(cut + 0.5)] == str(k)
    states = state_axis("state", length + 1, (0, k))
    (cut,) = states.cuts
    assert states.ticks[int(cut + 0.5)] == str(k)
    assert states.names[int(cut - 0.5)] == f"after block {k - 1}"


@given(
    st.floats(1e-9, 1e3),
    st.floats(1.01, 1e6),
    st.sampled_from(["linear", "log"]),
)
def test_ticks_lie_in_their_scale_and_colours_keep_the_order(low, factor, kind):
    scale = Scale("", low, low * factor, kind)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 7
    assert all(low * (1 - 1e-6) - 1e-10 <= t <= low * factor * (1 + 1e-6) + 1e-10 for t in ticks)
    places = scale.place(np.linspace(low, low * factor, 9))
    assert (np.diff(places) > 0).all()


def test_a_diverging_scale_is_centred_at_zero():
    scale = span([[0.2, np.nan], [-0.7, 0.1]], "x", "diverging")
    assert (scale.low, scale.high) == (-0.7, 0.7)


def test_scales_of_nothing_and_of_one_value_can_be_drawn():
    for kind in ("linear", "log", "diverging"):
        for values in ([np.nan], [0.0, 0.0], [0.3]):
            scale = span(values, "x", kind)
            assert scale.low < scale.high
            assert scale.ticks()


@pytest.mark.parametrize(
    ("edges", "first"), [([0, 0.25, 1], "0.00-0.25"), ([0, 0.1, 1], "0.0-0.1"), ([0, 1], "0.0-1.0")]
)
def test_bins_are_named_with_as_many_digits_as_they_need(edges, first):
    assert bin_names(edges)[0] == first


def test_panels_of_a_heat_map_have_the_shape_of_their_axes():
    for sheet in sheets_of("sd3"):
        for panel in (p for row in sheet.rows for p in row.panels if isinstance(p, Heat)):
            assert panel.values.shape == (len(panel.y.ticks), len(panel.x.ticks))


def test_a_symlog_axis_is_linear_near_zero_and_logarithmic_beyond():
    scale = SymLog(0.5)
    np.testing.assert_allclose(scale.place([-5, -0.5, 0, 0.25, 0.5, 5, 50]), [-2, -1, 0, 0.5, 1, 2, 3])
    assert np.isnan(scale.place(np.nan))
    assert scale.ticks(-0.6, 60) == [-0.5, 0, 0.5, 1, 2, 5, 10, 20, 50]
    assert scale.ticks(0, 5e9)[0] == 0
    assert len(scale.ticks(0, 5e9)) <= 14
    low, high = scale.widened(-0.5, 50.0, 0.1)
    np.testing.assert_allclose(scale.place([low, high]), [-1.4, 3.4])
    assert scale.widened(0.0, 50.0, 0.1)[0] == 0


def test_it_is_linear_as_far_as_the_noise_goes():
    values = np.array([0.1, 0.2, 30.0, np.nan])
    half = np.array([0.3, 0.4, 5.0, np.nan])
    assert symlog(values, values - half, values + half).linear == 0.5
    assert symlog(values, np.full(4, -np.inf), np.full(4, np.inf)).linear == 0.5  # a hundredth of the largest
    assert symlog(np.zeros(2), np.zeros(2), np.zeros(2)).linear > 0

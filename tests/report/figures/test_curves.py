"""Figures of harm, drift and predictors."""

from __future__ import annotations

import numpy as np
import pytest

from harness.report.figures.curves import predictors, single_skips, skipped_blocks
from harness.report.figures.layout import lay_out
from harness.report.figures.png import draw, own_style, png
from harness.results.statistics import Interval, mean_interval
from tests.helpers.analyses import given_of, near, traces, unpacked


def test_single_skips_have_harm_with_its_interval_over_drift():
    found = given_of("flux-tiny")
    harm, drift = found["harm"], found["drift"]
    sheet = single_skips("flux-tiny", harm, drift, {})
    data = traces(sheet)
    scale = sheet.rows[0].panels[1].scale
    assert [t["type"] for t in data] == ["scatter", "scatter", "bar", "bar"]
    intervals = [mean_interval(row) for row in harm["single"]]
    near(unpacked(data[1]["y"]), scale.place([i.value for i in intervals]))
    near(unpacked(data[1]["customdata"]), [[i.value, i.low, i.high] for i in intervals])
    ends = scale.place([i.high for i in intervals]) - scale.place([i.value for i in intervals])
    near(unpacked(data[1]["error_y"]["array"]), ends)
    near(unpacked(data[3]["y"]), drift["single"])


def test_small_harms_can_be_read_beside_a_catastrophe():
    """On a linear axis all single blocks lay on the zero line beside one of 36 sd."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(6, 64))
    harm = {
        "double": np.array([[0.0], [36.0]]) + noise[:2],
        "single": np.array([[0.2], [0.6], [0.0], [2.0]]) + noise[2:],
    }
    sheet = single_skips("m", harm, {"double": np.ones(2)}, {})
    (double, single), (drift,) = (row.panels for row in sheet.rows)
    assert double.scale == single.scale
    assert drift.scale is None
    low, high = single.scale.place(single.reach)
    places = (single.scale.place(single.values) - low) / (high - low)
    assert np.diff(np.sort(places)).min() > 0.03
    assert f"linear up to \u00b1{single.scale.linear:g}" in sheet.caption
    with own_style():
        figure = draw(lay_out(sheet))
    assert [axes.get_yscale() for axes in figure.axes] == ["symlog", "symlog", "linear"]
    # The PNG and the page space the axis alike.
    axes = figure.axes[1]
    bottom, top = (axes.transData.transform((0, y))[1] for y in single.reach)
    drawn = [(axes.transData.transform((0, y))[1] - bottom) / (top - bottom) for y in single.values]
    np.testing.assert_allclose(drawn, places, atol=1e-6)


def test_a_figure_of_skipped_blocks_needs_a_stack():
    with pytest.raises(ValueError, match="at least one stack"):
        skipped_blocks("blocks", "m", {}, "harm", "")


def test_one_prompt_has_no_interval():
    harm = {"double": np.array([[0.3], [0.1]])}
    sheet = single_skips("m", harm, {}, {})
    assert "no interval from one prompt" in sheet.caption
    assert "error_y" not in traces(sheet)[0]
    assert png(sheet)


def test_predictors_name_the_correlation_and_the_points():
    found = given_of("flux-tiny")
    data = traces(predictors("flux-tiny", "double", found["predictors"]["double"], found["harm"]["double"]))
    near(unpacked(data[0]["y"]), found["harm"]["double"].mean(axis=1))
    near(unpacked(data[1]["x"]), found["predictors"]["double"]["measure 1"][0])
    assert data[1]["text"][2] == "block 2"
    sheet = predictors("m", "s", {"a": (np.arange(4.0), Interval(0.5, 0.1, 0.8))}, np.ones((4, 2)))
    assert sheet.rows[0].panels[0].title == "a\n\u03c1 = 0.50 [0.10, 0.80]"
    with pytest.raises(ValueError, match="a of stack 's' has 4 blocks, its harm 5"):
        predictors("m", "s", {"a": (np.arange(4.0), Interval(0, 0, 0))}, np.ones((5, 2)))

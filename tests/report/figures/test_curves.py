"""Figures of harm, drift and predictors."""

from __future__ import annotations

import numpy as np
import pytest

from harness.report.figures.curves import predictors, single_skips
from harness.report.figures.png import png
from harness.results.statistics import Interval, mean_interval
from tests.helpers.analyses import given_of, near, traces, unpacked


def test_single_skips_have_harm_with_its_interval_over_drift():
    found = given_of("flux-tiny")
    harm, drift = found["harm"], found["drift"]
    data = traces(single_skips("flux-tiny", harm, drift, {}))
    assert [t["type"] for t in data] == ["scatter", "scatter", "bar", "bar"]
    intervals = [mean_interval(row) for row in harm["single"]]
    near(unpacked(data[1]["y"]), [i.value for i in intervals])
    near(unpacked(data[1]["customdata"]), [[i.low, i.high] for i in intervals])
    near(unpacked(data[1]["error_y"]["array"]), [i.high - i.value for i in intervals])
    near(unpacked(data[3]["y"]), drift["single"])


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

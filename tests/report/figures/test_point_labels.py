"""Labels beside points."""

from __future__ import annotations

import numpy as np

from harness.report.figures.curves import predictors
from harness.report.figures.layout import lay_out
from harness.report.figures.png import draw
from harness.results.statistics import Interval
from tests.helpers.analyses import near, traces, unpacked


def test_a_block_without_a_measure_is_left_out_of_the_plot():
    values = np.array([0.1, 0.2, 0.9, np.nan])  # SD3's last block gives no text
    sheet = predictors("m", "s", {"a": (values, Interval(0.5, 0.1, 0.8))}, np.arange(8.0).reshape(4, 2))
    near(unpacked(traces(sheet)[0]["x"]), values)
    axes = draw(lay_out(sheet)).axes[0]
    assert {text.get_text() for text in axes.texts} == {"0", "1", "2"}

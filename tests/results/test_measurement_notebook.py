"""A Measurement in a notebook: an escaped table, and a figure of the values by prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import DataError
from harness.results.notebook_figure import NotebookFigure
from harness.results.records import Subset
from tests.helpers.records import quality


def test_the_table_has_each_figure_with_its_unit_and_what_it_is():
    measured = replace(quality("skip", 0.5).measurement, left_out={"lpips": "no <weights>"})
    text = measured._repr_html_()
    assert "<b>16 images of 16 prompts</b>" in text
    assert '>harm</td><td style="text-align: right">0.5 sd</td>' in text
    assert "Harm in sd is harm in points" in text
    assert "Not measured: no &lt;weights&gt;" in text
    assert "<weights>" not in text
    some = replace(measured, subset=Subset(tuple(range(16)), 64), summary={"harm": float("nan")})
    assert "16 images of 16 prompts (16 of 64 prompts)" in some._repr_html_()
    assert ">harm</td><td" in some._repr_html_()


def test_the_figure_has_a_point_a_prompt_the_largest_first_and_the_mean():
    record = quality("skip", 0.5)
    figure = record.measurement.plot()
    assert isinstance(figure, NotebookFigure)
    (axes,) = figure.axes
    points = next(line for line in axes.lines if line.get_marker() == "o")
    heights = list(points.get_ydata())
    assert heights == sorted(record.measurement.values["harm"], reverse=True)
    assert axes.get_legend_handles_labels()[1] == ["mean 0.5, with its 95 % interval"]
    assert axes.get_ylabel() == "harm [points]"
    png = figure._repr_png_()
    assert png.startswith(b"\x89PNG")


def test_seeds_of_a_prompt_are_one_point():
    measured = replace(quality("skip", 0.5).measurement, values={"harm": (1.0, 3.0, 0.0, 0.0)}, n=4, prompts=2)
    (axes,) = measured.plot().axes
    assert list(next(line for line in axes.lines if line.get_marker() == "o").get_ydata()) == [2.0, 0.0]


def test_values_that_are_not_there_are_named():
    with pytest.raises(DataError, match="no values 'colour' to plot; there are harm"):
        quality("skip", 0.5).measurement.plot("colour")
    with pytest.raises(DataError, match="there are none at all"):
        replace(quality("skip", 0.5).measurement, values={}).plot()

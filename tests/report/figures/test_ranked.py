"""A ranking as a figure: a row a variant, with its interval where there is one."""

from __future__ import annotations

import math

import pytest

from harness.report.figures.png import own_style
from harness.report.figures.ranked import ranked


def test_the_first_variant_is_at_the_top_and_names_stay_texts():
    rows = [("double-$x$", 0.5, 0.2, 0.9), ("single", 2.0, -math.inf, math.inf)]
    with own_style():
        figure = ranked("m, by harm", "harm [points]", rows, 0.0)
        (axes,) = figure.axes
        assert [label.get_text() for label in axes.get_yticklabels()] == ["double-$x$", "single"]
        assert axes.get_ylim()[0] > axes.get_ylim()[1]
        assert [len(container.lines[2]) for container in axes.containers] == [1, 0]
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="without variants"):
        ranked("m", "x", [], 0.0)

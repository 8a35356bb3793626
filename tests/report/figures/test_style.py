"""Colours and ticks of all figures."""

from __future__ import annotations

import re

import pytest

from harness.report.figures.style import MISSING, colour_map, line_colour, number, stops


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.25, "0.25"), (9999, "9999"), (10_000, "1e4"), (2.5e-4, "2.5e-4"), (-3e6, "-3e6")],
)
def test_ticks_are_short(value, shown):
    assert number(value) == shown
    assert float(shown) == value


def test_both_renderers_have_the_same_colours():
    for kind in ("linear", "diverging"):
        places, colours = zip(*stops(kind), strict=True)
        assert (places[0], places[-1]) == (0, 1)
        assert list(places) == sorted(places)
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)
        assert MISSING not in colours
    assert stops("linear")[0][1] == "#440154"  # viridis begins dark violet
    assert colour_map("log") == colour_map("linear") != colour_map("diverging")
    assert line_colour("diverging") != line_colour("linear")

"""Colours of all figures."""

from __future__ import annotations

import re

from harness.report.figures.style import MISSING, colour_map, line_colour, stops


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

"""Colours of all figures: of even lightness steps, and told apart with any common colour vision."""

from __future__ import annotations

from functools import cache

from harness.report.figures.sheet import Kind

_SEQUENTIAL = "viridis"
_DIVERGING = "RdBu_r"  # red above zero, blue below, white at it
MISSING = "#b4b4b4"  # no value: no colour of either map
INK = "#1a1a1a"
FAINT = "#5f5f5f"
HAIR = "#c9c9c9"
POINT = "#0072b2"  # Okabe and Ito's blue
# Okabe and Ito's colours that can be seen on white, for kinds of things.
QUALITATIVE = (POINT, "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
_STOPS = 65


def colour_map(kind: Kind) -> str:
    """The name of a scale's colour map in matplotlib."""
    return _DIVERGING if kind == "diverging" else _SEQUENTIAL


def line_colour(kind: Kind) -> str:
    """Of the borders of groups: seen on every colour of the map, or on all but its ends."""
    return INK if kind == "diverging" else "white"


@cache
def stops(kind: Kind) -> tuple[tuple[float, str], ...]:
    """A scale's colours as plotly wants them, evenly spaced from 0 to 1; the same as in the PNG."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    chosen = colormaps[colour_map(kind)]
    return tuple((i / (_STOPS - 1), to_hex(chosen(i / (_STOPS - 1)))) for i in range(_STOPS))

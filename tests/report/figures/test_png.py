"""Pictures: no text overlaps or leaves them, none is small, and the bytes are always the same."""

from __future__ import annotations

import io
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from harness.report.figures.layout import SIZE, lay_out
from harness.report.figures.png import DPI, draw, own_style, png
from harness.report.figures.style import MISSING
from harness.report.figures.timesteps import timesteps
from tests.helpers.analyses import MODELS, given_of, sheets_of


@pytest.fixture
def drawn(monkeypatch):
    """The texts that a canvas really draws, with their boxes: an axis has others, out of view."""
    found = []
    plain = Text.draw

    def noted(self, renderer, *rest, **named):
        if self.get_visible() and self.get_text().strip():
            assert self.get_fontsize() >= SIZE
            found.append((self.get_text(), self.get_window_extent(renderer)))
        plain(self, renderer, *rest, **named)

    monkeypatch.setattr(Text, "draw", noted)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_no_text_overlaps_or_leaves_the_picture_and_none_is_small(name, drawn):
    for sheet in sheets_of(name):
        drawn.clear()
        with own_style():
            figure = draw(lay_out(sheet))
            figure.canvas.draw()
        whole = figure.bbox
        assert len(drawn) > 10
        for words, box in drawn:
            assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, (sheet.name, words)
            assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, (sheet.name, words)
        for (a, one), (b, other) in itertools.combinations(drawn, 2):
            apart = one.x1 <= other.x0 + 1 or other.x1 <= one.x0 + 1 or one.y1 <= other.y0 + 1
            assert apart or other.y1 <= one.y0 + 1, (sheet.name, a, b)


def pixels(sheet):
    return np.asarray(Image.open(io.BytesIO(png(sheet))).convert("RGB"))


def at(table, place, x, y):
    """The pixel at a share of a panel's width and height."""
    left = place.rect.left + x * place.rect.width
    return tuple(table[round((place.rect.top + y * place.rect.height) * DPI), round(left * DPI)])


def test_missing_cells_are_grey_stacks_are_apart_and_the_ground_is_white():
    sheet = timesteps(given_of("flux-tiny")["trajectory"], "image", {})
    table = pixels(sheet)
    layout = lay_out(sheet)
    double, single = layout.places[:2]
    grey = tuple(int(MISSING[i : i + 2], 16) for i in (1, 3, 5))
    # Bin 1 of 4 is the third row from the top.
    assert at(table, double, 0.25, 0.625) == at(table, single, 0.71, 0.625) == grey
    assert at(table, double, 0.25, 0.375) != grey
    ends = double.rect.left + double.rect.width
    gap = single.rect.left - ends
    assert gap > 0.2
    middle = table[round((double.rect.top + 0.1) * DPI) : round((double.rect.top + 1.6) * DPI), :]
    assert (middle[:, round((ends + gap / 2) * DPI)] == 255).all()
    assert (table[0] == 255).all()
    assert (table[:, 0] == 255).all()
    assert table.shape[1] == 1440


def test_the_largest_value_has_the_last_colour():
    profile = given_of("flux-tiny")["trajectory"]
    sheet = timesteps(profile, "image", {})
    double, single = lay_out(sheet).places[:2]
    tables = [profile.stream(s, "image").angular for s in ("double", "single")]
    which = int(np.nanmax(tables[1]) > np.nanmax(tables[0]))
    row, column = np.unravel_index(np.nanargmax(tables[which]), tables[which].shape)
    rows, columns = tables[which].shape
    colour = at(pixels(sheet), (double, single)[which], (column + 0.5) / columns, 1 - (row + 0.5) / rows)
    assert colour == mpl.colormaps["viridis"](1.0, bytes=True)[:3]


def test_a_png_has_the_same_bytes_whatever_the_users_style():
    sheet = sheets_of("flux-tiny")[0]
    first = png(sheet)
    with mpl.rc_context(
        {"font.size": 20, "axes.facecolor": "red", "figure.facecolor": "black", "image.origin": "lower"}
    ):
        before = mpl.rcParams["font.size"]
        assert png(sheet) == first
        assert mpl.rcParams["font.size"] == before
    assert Image.open(io.BytesIO(first)).text == {}  # no date, no version

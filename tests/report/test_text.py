"""How numbers, counts and cells are written."""

from __future__ import annotations

import pytest

from harness.report.text import (
    counted,
    duration,
    number,
    spreadsheet_text,
    tick_label,
    titled,
    with_unit,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.50"), (-2, "-2.00"), (None, "-"), (float("nan"), "-"), (float("inf"), "-")],
)
def test_what_is_no_figure_is_a_dash(value, shown):
    assert number(value, ".2f") == shown


def test_counts():
    assert [counted(n, "image") for n in (0, 1, 3648)] == ["0 images", "1 image", "3,648 images"]


@pytest.mark.parametrize(
    ("value", "label"), [(0, "0"), (0.25, "0.25"), (1e-5, "1e-5"), (2.5e6, "2.5e6"), (9999.0, "9999"), (1e4, "1e4")]
)
def test_ticks_are_short(value, label):
    assert tick_label(value) == label


def test_figures_by_their_declaration():
    assert with_unit("harm", 0.416) == "0.42 sd"
    assert with_unit("latent_drift", 0.416) == "0.42"
    assert with_unit("nobody knows", 0.41612) == "0.4161"
    assert (titled("harm"), titled("latent_drift"), titled("nobody knows")) == ("harm (sd)", "drift", "nobody knows")


def test_a_cell_of_a_spreadsheet_is_one_printable_line():
    assert spreadsheet_text("=1+1\r\n\x1b[31m") == "'=1+1\\r\\n\\x1b[31m"
    assert spreadsheet_text("\t=1") == "\\t=1"
    assert [spreadsheet_text(value) for value in ("-", -1.5, None, "0 4")] == ["-", -1.5, None, "0 4"]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (119.4, "119 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text

"""Numbers and Markdown tables."""

from __future__ import annotations

import pytest

from harness.report.text import markdown_table, number


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.50"), (-2, "-2.00"), (None, "-"), (float("nan"), "-"), (float("inf"), "-")],
)
def test_what_is_no_figure_is_a_dash(value, shown):
    assert number(value, ".2f") == shown


def test_a_bar_does_not_end_its_cell():
    assert markdown_table(("plan", "harm"), [("0 (1|2)", "1.0")]) == [
        "| plan | harm |",
        "| --- | --- |",
        "| 0 (1\\|2) | 1.0 |",
    ]
    assert len(markdown_table(("a",), [])) == 2

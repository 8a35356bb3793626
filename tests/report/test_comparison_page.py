"""A comparison in a terminal and as Markdown."""

from __future__ import annotations

from harness.gates.comparison import compare
from harness.report.comparison_page import markdown, render
from tests.helpers.records import TOLERANCES, quality, shifted


def test_both_renderings_hold_the_same_rows():
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    found = compare(run, [run[0], shifted(run[1], 0.4)], TOLERANCES)
    for text in (markdown(found), render(found, 200, colour=False)):
        assert "s-reverse" in text
        assert "worse" in text
        assert "s-skip" not in text

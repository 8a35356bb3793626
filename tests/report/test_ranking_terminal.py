"""The ranking in a terminal fits its width."""

from __future__ import annotations

import pytest

from harness.report.ranking_terminal import render
from tests.helpers.records import latency, quality, raised


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(width):
    text = render([quality("skip", 0.5), quality("parallel", 1.5), latency("skip", 1.2)], width, colour=False)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "least harmful variant: m" in text
    assert ("plan" in text) == (width == 200)


def test_cases_that_raised_are_named():
    broken = raised(quality("swap", 0.1), "TypeError: x")
    text = render([quality("skip", 0.5), broken], 100, colour=False)
    assert "not ranked, as the test raised (1):\nm-s-swap: TypeError: x\n" in text
    assert "least harmful variant: m" in text
    alone = render([broken], 100, colour=False)
    assert alone == "nothing to rank: m\nnot ranked, as the test raised (1):\nm-s-swap: TypeError: x\n"

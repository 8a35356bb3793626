"""An error of another library in one line."""

from __future__ import annotations

import pytest

from harness.errors import HarnessError, MetricError, first_line


@pytest.mark.parametrize(
    ("error", "line", "typed"),
    [
        (KeyError("x"), "'x'", "KeyError: 'x'"),
        (ValueError("one\ntwo"), "one", "ValueError: one"),
        (ValueError("  \nError in loading:\n\ttoo big\nmore"), "Error in loading: too big", None),
        (ValueError(""), "ValueError", "ValueError"),
        (ValueError("alone:"), "alone:", "ValueError: alone:"),
    ],
)
def test_the_first_line_of_an_error(error, line, typed):
    assert first_line(error) == line
    assert first_line(error, with_type=True) == (typed or f"ValueError: {line}")


@pytest.mark.parametrize("bad", ["\x1b[31m", "a\nb", "\r", "\u202e", "\x00", "\ud800"])
def test_a_message_is_one_line_that_a_terminal_can_show(bad):
    assert str(HarnessError(f"can't read {bad}: why")).isprintable()
    assert str(MetricError("m", bad, bad)).isprintable()
    assert str(HarnessError("für 1 \u00b1 2")) == "für 1 \u00b1 2"


def test_a_long_message_loses_its_middle_and_keeps_the_fix():
    text = str(HarnessError("what: " + "x" * 1_000_000 + "; do that"))
    assert len(text) == 700
    assert text.startswith("what: xxx")
    assert text.endswith("xxx; do that")
    assert str(HarnessError("x" * 700)) == "x" * 700

"""An error of another library in one line."""

from __future__ import annotations

import pytest

from harness.errors import first_line


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

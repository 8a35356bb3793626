"""Ranges are spelled in one way."""

from __future__ import annotations

import pytest

from harness.ablation.ranges import Span, range_text
from harness.ablation.steps import read, suffix


@pytest.mark.parametrize(("first", "last", "text"), [(3, 8, "3-8"), (3, 3, "3"), (0, 0, "0"), (9, 10, "9-10")])
def test_a_range_is_spelled_in_one_way(first, last, text):
    assert range_text(first, last) == str(Span(first, last)) == text
    assert suffix((first, last)) == f"-steps-{text}"
    assert read(text) == (first, last)

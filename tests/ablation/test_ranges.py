"""Words for ranges: the middle is the central half, and parts tile the stack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.ranges import Span, range_text, spans
from harness.ablation.steps import read, suffix


def test_centre_of_an_even_range_is_the_lower_middle():
    assert Span(4, 7).centre == 5
    assert Span(4, 8).centre == 6


@pytest.mark.parametrize(("length", "first", "last"), [(4, 1, 2), (5, 1, 3), (6, 1, 4), (12, 3, 8), (19, 4, 14)])
def test_the_middle_is_the_central_half(length, first, last):
    assert spans("middle", length)[0][0] == Span(first, last)


@given(st.integers(2, 60))
def test_first_middle_last_tile_a_stack(length):
    parts = [span for name in ("first", "middle", "last") for span, _ in spans(name, length)]
    assert [i for span in parts for i in span.blocks] == list(range(length))


@given(st.integers(2, 60))
def test_halves_tile_the_middle(length):
    middle = spans("middle", length)[0][0]
    halves = [span for name in ("middle-lower", "middle-upper") for span, _ in spans(name, length)]
    assert [i for span in halves for i in span.blocks] == (list(middle.blocks) if len(middle) >= 4 else [])


@pytest.mark.parametrize(("first", "last", "text"), [(3, 8, "3-8"), (3, 3, "3"), (0, 0, "0"), (9, 10, "9-10")])
def test_a_range_is_spelled_in_one_way(first, last, text):
    assert range_text(first, last) == str(Span(first, last)) == text
    assert suffix((first, last)) == f"-steps-{text}"
    assert read(text) == (first, last)

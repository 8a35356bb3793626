"""Rounding of stored values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.results.rounding import rounded


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_is_stable(value):
    assert rounded(rounded(value)) == rounded(value)

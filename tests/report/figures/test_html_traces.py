"""Arrays in the interactive page come back as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.report.figures.html_traces import packed
from tests.helpers.analyses import unpacked


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_arrays_come_back_as_they_were(rows):
    table = np.array(rows)
    table[0, 0] = np.nan
    np.testing.assert_array_equal(unpacked(packed(table)), table)
    np.testing.assert_array_equal(unpacked(packed(table[0])), table[0])

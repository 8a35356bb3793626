"""Prompts in pieces: averages by prompt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.metrics.sentences import Pieces


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 99))
def test_pieces_are_averaged_by_prompt(counts, seed):
    split = Pieces.of([[f"{i}.{j}" for j in range(count)] for i, count in enumerate(counts)])
    values = np.random.default_rng(seed).normal(size=sum(counts)).astype(np.float32)
    for i, count in enumerate(counts):
        own = values[split.rows == i]
        assert len(own) == count
        assert split.mean(values)[i] == pytest.approx(own.mean(), abs=1e-6)
        assert split.least(values)[i] == own.min()
        if count == 1:
            assert split.mean(values)[i] == own[0]

"""A share of a harm with Fieller's interval; tests/findings/test_intervals.py has its coverage."""

from __future__ import annotations

import numpy as np
import pytest

from harness.findings.intervals import share
from harness.results.share import share_interval
from harness.results.statistics import mean_interval


def test_its_ends_are_where_the_paired_difference_leaves_zero():
    rng = np.random.default_rng(0)
    whole = 5.0 + rng.normal(size=40)
    part = 0.3 * whole + rng.normal(size=40)
    found = share_interval(part, whole)
    assert found.value == pytest.approx(part.mean() / whole.mean())
    assert mean_interval(part - found.low * whole).low == pytest.approx(0, abs=1e-9)
    assert mean_interval(part - found.high * whole).high == pytest.approx(0, abs=1e-9)


def test_claims_are_judged_by_the_same_interval():
    rng = np.random.default_rng(1)
    part, whole = rng.normal(size=20), 4.0 + rng.normal(size=20)
    assert share(part, whole)(0.9) == share_interval(part, whole, 0.9)


def test_a_share_of_what_may_be_nothing_has_no_ends():
    found = share_interval(np.ones(16), np.random.default_rng(0).normal(size=16))
    assert (found.low, found.high) == (-np.inf, np.inf)

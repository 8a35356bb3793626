"""The intervals behind claims cover as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.findings.intervals import counted, curvature, drawn, over_prompts, share, trend
from harness.results.statistics import Interval, mean_interval
from tests.helpers.studies import quiet
from tests.simulations.coverage import covered, shares


@quiet
@given(st.integers(0, 10**6), st.floats(-0.5, 1.5), st.floats(0.01, 3.0), st.floats(0.5, 0.999))
def test_a_share_compares_as_the_paired_test_does(seed, factor, noise, level):
    rng = np.random.default_rng(seed)
    whole = 3.0 + rng.normal(size=20) * 0.5
    part = factor * whole + rng.normal(size=20) * noise
    found = share(part, whole)(level)
    for threshold in (0.1, 0.5, 0.9):
        paired = mean_interval(part - threshold * whole, level)
        above, below = paired.low > 0, paired.high < 0
        assert (found.low > threshold, found.high < threshold) == (above, below)
    assert found.low <= found.value <= found.high


def test_a_share_of_nothing_is_open():
    rng = np.random.default_rng(0)
    for whole in (rng.normal(size=16), -1.0 - rng.random(16), np.zeros(16)):
        found = share(np.ones(16), whole)(0.95)
        assert (found.low, found.high) == (-np.inf, np.inf)
    assert share([1.0], [2.0])(0.95).high == np.inf


def test_a_share_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        whole = 2.0 + rng.normal(size=12)
        part = 0.5 * whole + rng.normal(size=12)
        found = share(part, whole)(0.9)
        hits += found.low <= 0.5 <= found.high
    assert 0.87 < hits / 1000 < 0.93


def test_a_share_covers_where_few_prompts_lose_all():
    """One prompt in twenty: Fieller's interval with Student's t says too small a share in 13 % of runs."""
    found = covered(shares(64, 400, np.random.default_rng(4)))
    assert found.held > 0.92
    assert found.below < 0.08


def test_a_trend_is_the_slope_with_its_interval():
    levels = np.linspace(0, 1, 10)
    values = 2 * levels + np.random.default_rng(2).normal(size=10) * 0.1
    line = stats.linregress(levels, values)
    found = trend(levels, np.where(levels == 1, np.nan, values))(0.95)
    rest = stats.linregress(levels[:-1], values[:-1])
    assert found.value == pytest.approx(rest.slope)
    whole = trend(levels, values)(0.95)
    assert whole.high - whole.value == pytest.approx(stats.t.ppf(0.975, 8) * line.stderr)
    assert trend([0, 1], [0, 1])(0.95).high == np.inf


def test_a_curvature_is_the_parabolas_with_its_interval():
    levels = np.linspace(0, 1, 10)
    values = 3 * (levels - 0.4) ** 2 - levels + np.random.default_rng(2).normal(size=10) * 0.05
    fitted, covariance = np.polyfit(levels, values, 2, cov=True)  # scales by B - 3 as well
    found = curvature(levels, np.where(levels == 2, np.nan, values))(0.95)
    assert found.value == pytest.approx(fitted[0])
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, 7) * np.sqrt(covariance[0, 0]))
    rest = curvature(levels, np.where(levels == 1, np.nan, values))(0.95)
    assert rest.value == pytest.approx(np.polyfit(levels[:-1], values[:-1], 2)[0])
    assert curvature([0, 1, 2], [0, 1, 4])(0.95).high == np.inf


def test_a_number_has_the_percentiles_of_its_draws():
    draws = [3] * 2 + [4] * 95 + [5] * 3
    assert counted(4, draws)(0.9) == Interval(4.0, 4.0, 4.0)
    assert counted(4, draws)(0.98) == Interval(4.0, 3.0, 5.0)
    assert counted(2, draws)(0.9) == Interval(2.0, 2.0, 4.0)
    assert counted(4, [])(0.9).low == -np.inf


def test_bootstrap_draws_give_a_normal_interval():
    draws = np.random.default_rng(3).normal(size=4000)
    found = drawn(1.0, draws)(0.95)
    assert (found.value, found.high - found.low) == (1.0, pytest.approx(2 * 1.96, rel=0.05))
    assert over_prompts([1.0, 2.0, 3.0])(0.9) == mean_interval([1.0, 2.0, 3.0], 0.9)

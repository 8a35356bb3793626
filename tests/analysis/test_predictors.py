"""Rank correlations and additivity: against scipy, by simulation, and where they are undefined."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.analysis.predictors import additivity, spearman

values = st.lists(st.integers(-5, 5), min_size=4, max_size=15)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), values)
def test_rho_is_scipys_with_ties(seed, x):
    y = np.random.default_rng(seed).integers(0, 4, len(x))
    found = spearman(x, y, draws=99)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert not found.defined
        assert np.isnan([found.rho.low, found.rho.high, found.p]).all()
        assert "undefined" in str(found)
        return
    assert found.rho.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert -1 <= found.rho.low <= found.rho.value <= found.rho.high <= 1
    assert 0 < found.p <= 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(4, 12))
def test_only_ranks_matter(seed, n):
    x, y = np.random.default_rng(seed).standard_normal((2, n))
    assert spearman(x, y) == spearman(np.exp(x), y**3)
    assert spearman(x, -y).rho.value == pytest.approx(-spearman(x, y).rho.value)


def test_the_interval_is_fishers_with_bonett_and_wrights_error():
    # The worked example of the R package statpsych, ci.spear: .8699639, [.5840951, .9638297].
    x = [21, 4, 9, 12, 35, 18, 10, 22, 24, 1, 6, 8, 13, 16, 19]
    y = [67, 28, 30, 28, 52, 40, 25, 37, 44, 10, 14, 20, 28, 40, 51]
    found = spearman(y, x).rho
    assert (found.value, found.low, found.high) == pytest.approx((0.8699639, 0.5840951, 0.9638297), abs=1e-6)


def test_p_is_exact_for_few_blocks():
    assert spearman([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).p == pytest.approx(2 / 120)
    x, y = [3, 1, 2, 5, 4, 6], [1, 2, 3, 4, 6, 5]
    exact = stats.permutation_test(
        (x,), lambda each: stats.spearmanr(each, y).statistic, permutation_type="pairings", n_resamples=np.inf
    )
    assert spearman(x, y).p == pytest.approx(exact.pvalue)


def test_p_of_more_blocks_is_near_the_t_test():
    x, y = np.random.default_rng(3).standard_normal((2, 18))
    assert spearman(x, y).p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.03)


def test_a_perfect_ranking_of_few_blocks_is_not_certain():
    found = spearman(range(6), range(6)).rho
    assert found.value == found.high == 1
    assert 0.5 < found.low < 0.95


def test_two_blocks_say_nothing():
    assert (spearman([1, 2, 3], [3, 1, 2]).rho.low, spearman([1, 2, 3], [3, 1, 2]).rho.high) == (-1, 1)


@pytest.mark.parametrize(("n", "r"), [(6, 0.0), (6, 0.8), (12, 0.5), (12, 0.95), (18, 0.8)])
def test_the_interval_covers(n, r):
    rng = np.random.default_rng(n)
    truth = 6 / np.pi * np.arcsin(r / 2)
    inside = 0
    for _ in range(400):
        x, noise = rng.standard_normal((2, n))
        found = spearman(x, r * x + np.sqrt(1 - r * r) * noise, draws=1).rho
        inside += found.low <= truth <= found.high
    assert 0.91 <= inside / 400 <= 1


def test_harm_per_prompt_is_averaged():
    rng = np.random.default_rng(0)
    x, harm = rng.standard_normal(8), rng.standard_normal((8, 5))
    assert spearman(x, harm) == spearman(x, harm.mean(axis=1))


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [([1, 2, 3], [1, 2], "can't be ranked against"), ([1, 2, np.nan], [1, 2, 3], "isn't finite")],
)
def test_what_cannot_be_ranked(x, y, said):
    with pytest.raises(ValueError, match=said):
        spearman(x, y)


def simulated(rng, prompts, blocks, effects=()):
    single = rng.standard_normal((prompts, blocks)) + np.arange(blocks)
    pairs = {
        (a, b): single[:, a] + single[:, b] + 0.5 * rng.standard_normal(prompts)
        for a, b in combinations(range(blocks), 2)
    }
    for pair, effect in effects:
        pairs[pair] += effect
    return single, pairs


def test_an_interaction_is_found_where_it_is():
    found = additivity(*simulated(np.random.default_rng(0), 32, 6, [((1, 4), 2.0), ((0, 3), -1.5)]))
    off = {pair for pair, out in zip(found.pairs, found.beyond, strict=True) if out}
    assert off == {(1, 4), (0, 3)}
    assert found.share == pytest.approx(2 / 15)
    assert str(found) == ("2 of 15 pairs off by more than the noise (13%): 1 worse together than the sum, 1 less bad")
    assert found.marks.sum() == 4
    assert found.marks[4, 1]
    np.testing.assert_array_equal(found.table, found.table.T)
    assert np.isnan(np.diagonal(found.table)).all()
    for (a, b), interval, out in zip(found.pairs, found.interaction, found.beyond, strict=True):
        assert found.table[a, b] == interval.value
        assert out == (interval.low > 0 or interval.high < 0)


@pytest.mark.parametrize("prompts", [8, 16, 32])
def test_additive_pairs_are_rarely_called_otherwise(prompts):
    rng = np.random.default_rng(prompts)
    wrong = [any(additivity(*simulated(rng, prompts, 8), draws=400, seed=i).beyond) for i in range(150)]
    assert np.mean(wrong) <= (0.17 if prompts == 8 else 0.11)


def test_intervals_hold_together():
    rng = np.random.default_rng(1)
    inside = []
    for i in range(100):
        found = additivity(*simulated(rng, 24, 5, [((0, 1), 1.0)]), draws=400, seed=i)
        truth = {(0, 1): 1.0}
        inside.append(
            all(v.low <= truth.get(pair, 0.0) <= v.high for pair, v in zip(found.pairs, found.interaction, strict=True))
        )
    assert np.mean(inside) >= 0.89


def test_pairs_may_be_few_and_turned_round():
    single, pairs = simulated(np.random.default_rng(2), 8, 5)
    found = additivity(single, {(3, 1): pairs[1, 3]})
    assert found.pairs == ((1, 3),)
    assert np.isfinite(found.table).sum() == 2


def test_a_constant_interaction_has_no_noise():
    single = np.random.default_rng(0).integers(0, 5, (8, 3)).astype(float)
    sums = {(0, 1): single[:, 0] + single[:, 1], (0, 2): single[:, 0] + single[:, 2] + 0.25}
    found = additivity(single, sums)
    assert found.beyond == (False, True)
    assert found.interaction[1].low == found.interaction[1].high == 0.25


@pytest.mark.parametrize(
    ("single", "pairs", "said"),
    [
        (np.zeros(3), {(0, 1): np.zeros(3)}, "prompts >= 2, blocks"),
        (np.zeros((1, 3)), {(0, 1): np.zeros(1)}, "prompts >= 2, blocks"),
        (np.zeros((4, 3)), {}, "no pairs"),
        (np.zeros((4, 3)), {(1, 1): np.zeros(4)}, r"pair \(1, 1\) is no two of the 3 blocks"),
        (np.zeros((4, 3)), {(0, 3): np.zeros(4)}, r"pair \(0, 3\)"),
        (np.zeros((4, 3)), {(0, 1): np.zeros(4), (1, 0): np.zeros(4)}, "given twice"),
        (np.zeros((4, 3)), {(0, 1): np.zeros(5)}, "must be of 4 prompts"),
        (np.zeros((4, 3)), {(0, 1): np.full(4, np.nan)}, "not finite"),
    ],
)
def test_what_cannot_be_added(single, pairs, said):
    with pytest.raises(ValueError, match=said):
        additivity(single, pairs)

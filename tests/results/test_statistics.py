"""Intervals cover what they say, ranks agree with a slow reference, and distances are 0 at equality."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.results.statistics import by_prompt, mean_interval, paired_mmd, pooled_seed_sd, rank_intervals, speed_up


def test_seeds_are_no_prompts():
    """Duplicating every seed leaves the interval as it is: the prompt is the unit."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 3))
    once = mean_interval(by_prompt(values.ravel(), 20))
    twice = mean_interval(by_prompt(np.repeat(values, 2, axis=1).ravel(), 20))
    assert (once.low, once.high) == pytest.approx((twice.low, twice.high))


def test_interval_is_students():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_interval_covers():
    """Prompt effects and seed noise together: the interval over prompt means covers 95 %."""
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(600):
        images = rng.normal(0, 1, (16, 1)) + rng.normal(0, 1, (16, 4))
        interval = mean_interval(by_prompt(images.ravel(), 16))
        hits += interval.low <= 0 <= interval.high
    assert 0.92 < hits / 600 < 0.98


def test_one_prompt_knows_nothing():
    assert math.isinf(mean_interval([1.0]).high)


def test_values_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="7 values don't divide over 3 prompts"):
        by_prompt(np.zeros(7), 3)


def test_pooled_sd_is_within_prompts():
    scores = np.array([[1.0, 3.0], [101.0, 103.0]])
    assert pooled_seed_sd(scores) == pytest.approx(math.sqrt(2))
    with pytest.raises(ValueError, match="seeds >= 2"):
        pooled_seed_sd(scores[:, :1])


def slow_ranks(harm, level=0.95, draws=2000, seed=0):
    """The same definition pair by pair, with loops."""
    variants, prompts = harm.shape
    rng = np.random.default_rng(seed)
    weights = np.concatenate(
        [
            rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=min(100, draws - i))
            for i in range(0, draws, 100)
        ]
    )
    pairs = [(i, j) for i in range(variants) for j in range(variants) if i != j]
    errors = {(i, j): (harm[i] - harm[j]).std(ddof=1) / math.sqrt(prompts) for i, j in pairs}
    largest = []
    for w in weights:
        mean = harm @ w / prompts
        largest.append(
            max(
                abs((mean[i] - mean[j]) - (harm[i] - harm[j]).mean()) / errors[i, j]
                for i, j in pairs
                if errors[i, j] > 1e-12
            )
        )
    critical = np.quantile(largest, level)
    worse = {(i, j): (harm[i] - harm[j]).mean() > critical * errors[i, j] for i, j in pairs}
    low = [1 + sum(worse[i, j] for j in range(variants) if j != i) for i in range(variants)]
    high = [variants - sum(worse[j, i] for j in range(variants) if j != i) for i in range(variants)]
    return low, high, critical


def test_ranks_agree_with_the_slow_reference():
    rng = np.random.default_rng(2)
    harm = rng.normal(size=(5, 24)) + np.array([0, 0.2, 1, 1.2, 4])[:, None]
    fast = rank_intervals(harm, draws=300)
    low, high, critical = slow_ranks(harm, draws=300)
    assert fast.critical == pytest.approx(critical)
    assert list(fast.low) == low
    assert list(fast.high) == high


def test_tiers_part_what_is_surely_apart():
    rng = np.random.default_rng(3)
    harm = 0.1 * rng.normal(size=(4, 32)) + np.array([0, 0.01, 5, 5.01])[:, None]
    assert rank_intervals(harm).tier == (1, 1, 2, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(2, 10), st.integers(0, 1000))
def test_ranks_are_consistent(variants, prompts, seed):
    harm = np.random.default_rng(seed).normal(size=(variants, prompts)).round(1)
    ranks = rank_intervals(harm, draws=100)
    assert all(1 <= low <= high <= variants for low, high in zip(ranks.low, ranks.high, strict=True))
    assert min(ranks.tier) == 1
    order = harm.mean(axis=1).argsort()
    assert ranks.tier[order[0]] == 1


def test_rank_intervals_hold_jointly_under_the_null():
    """All variants equal: in 95 % of runs none is told from another."""
    rng = np.random.default_rng(4)
    clean = sum(max(rank_intervals(rng.normal(size=(6, 40)), draws=300, seed=i).tier) == 1 for i in range(150))
    assert clean / 150 > 0.88


def test_equal_variants_share_a_rank():
    row = np.random.default_rng(5).normal(size=12)
    assert set(rank_intervals(np.stack([row, row, row])).tier) == {1}


def test_speed_up_sees_through_drift():
    """The machine slows fourfold during the run; the pairs' ratio stays."""
    rng = np.random.default_rng(6)
    pace = np.linspace(1, 4, 24)
    control = pace * np.exp(rng.normal(0, 0.02, 24))
    variant = pace / 1.5 * np.exp(rng.normal(0, 0.02, 24))
    interval = speed_up(control, variant)
    assert interval.low < 1.5 < interval.high
    assert interval.high - interval.low < 0.1


def test_mmd_is_zero_at_equality_and_grows():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(40, 8))
    assert paired_mmd(x, x) == 0.0
    near, far = (paired_mmd(x, x + shift) for shift in (0.2, 1.0))
    assert 0 < near < far


def test_mmd_is_its_definition():
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(2, 6, 3))
    groups = np.array([0, 0, 1, 1, 2, 2])

    distances = [np.linalg.norm(x[i] - x[j]) for i in range(6) for j in range(6) if groups[i] != groups[j]]
    scale = np.median(np.square(distances))

    def k(a, b):
        return np.exp(-(np.linalg.norm(a - b) ** 2) / (2 * scale))

    total = [
        k(x[i], x[j]) + k(y[i], y[j]) - k(x[i], y[j]) - k(x[j], y[i])
        for i in range(6)
        for j in range(6)
        if groups[i] != groups[j]
    ]
    assert paired_mmd(x, y, groups) == pytest.approx(np.mean(total))


def test_mmd_sees_a_shrunk_spread_and_no_length():
    """KID's kernel on unit features gave -3e-4 for a set pulled to its mean, as if it were closer than itself."""
    rng = np.random.default_rng(10)
    x = rng.normal(size=(64, 64)) + 4 * rng.normal(size=64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    shrunk = x.mean(axis=0) + 0.3 * (x - x.mean(axis=0))
    moved = x + 0.05 * rng.normal(size=x.shape) / 8
    assert paired_mmd(x, shrunk) > 0.02 > 10 * abs(paired_mmd(x, moved))
    assert paired_mmd(100 * x, 100 * shrunk) == pytest.approx(paired_mmd(x, shrunk))


def test_mmd_of_features_that_are_all_equal_is_refused():
    with pytest.raises(ValueError, match="all equal"):
        paired_mmd(np.ones((4, 3)), np.ones((4, 3)))


def test_mmd_is_unbiased_for_independent_sets():
    rng = np.random.default_rng(9)
    found = [paired_mmd(*rng.normal(size=(2, 20, 4))) for _ in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(300)

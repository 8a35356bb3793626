"""Intervals cover what they say, ranks agree with a slow reference, and distances are 0 at equality."""

import math

import numpy as np
import pytest
from scipy import stats

from harness.results.statistics import (
    by_prompt,
    mean_interval,
    median_interval,
    paired_mmd,
    pooled_seed_sd,
    seed_sd_interval,
    speed_up,
    worst_tenth,
)
from tests.simulations.coverage import covered, means, rare_losses, speed_ups, students, units
from tests.simulations.real import real_harms, real_log_ratios


def test_seeds_are_no_prompts():
    """Duplicating every seed leaves the interval as it is: the prompt is the unit."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 3))
    once = mean_interval(by_prompt(values.ravel(), 20))
    twice = mean_interval(by_prompt(np.repeat(values, 2, axis=1).ravel(), 20))
    assert (once.low, once.high) == pytest.approx((twice.low, twice.high))


def test_the_interval_of_even_values_is_students():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-2)


def test_the_interval_reaches_to_the_side_of_the_tail():
    """As far as Student's on the one side, farther on the other; its mirror image for mirrored values."""
    values = np.array([0.0, 0.1, -0.1, 0.05, 0.2, -0.2, 0.1, 6.0])
    ours, t = mean_interval(values), students(values)
    assert ours.low == pytest.approx(t.low)
    assert ours.high - ours.value > 1.5 * (t.high - t.value)
    mirrored = mean_interval(-values)
    assert (mirrored.low, mirrored.high) == pytest.approx((-ours.high, -ours.low))


def test_the_transformation_is_undone():
    """Against Hall's polynomial itself: at the far end of the interval it is Student's quantile."""
    values = np.random.default_rng(5).exponential(size=30)
    interval, n = mean_interval(values), 30
    skewness = stats.skew(values) * n**2 / ((n - 1) * (n - 2)) / math.sqrt(n)
    far = (interval.value - interval.high) / stats.sem(values)
    back = far + skewness / 3 * far**2 + skewness**2 / 27 * far**3 + skewness / 6
    assert back == pytest.approx(-stats.t.ppf(0.975, n - 1))


def test_the_interval_covers_rare_losses():
    """Where 5 % of the prompts lose all: Student's t holds the mean in .87 of runs of 64 prompts."""
    rng = np.random.default_rng(11)
    part, _ = rare_losses(50_000, rng)
    ours, t = (covered(means(part, 64, 1200, np.random.default_rng(12), f)) for f in (mean_interval, students))
    assert t.held < 0.91
    assert ours.held > 0.93


def test_the_interval_covers_real_harms():
    """Over all FLUX variants: .93 with Student's t alone, which says too little harm far more often than too much."""
    rng = np.random.default_rng(13)
    rows = [[covered(means(h, 48, 40, rng, f)) for f in (students, mean_interval)] for h in real_harms()]
    t, ours = (np.mean([[r[i].held, r[i].below] for r in rows], axis=0) for i in (0, 1))
    assert t[0] < 0.94
    assert 0.935 < ours[0] < 0.97
    assert ours[1] < 0.75 * t[1]


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


def test_the_units_interval_holds_the_unit():
    """Half of the seed variance sits in few prompts, so that 64 of them know the unit badly, and say so."""
    found = covered(units(64, 4, 300, np.random.default_rng(14)))
    assert found.held > 0.85
    scores = np.random.default_rng(15).normal(size=(64, 4))
    even = seed_sd_interval(scores)
    assert even.value == pooled_seed_sd(scores)
    assert 0.85 < even.low < even.value < even.high < 1.2
    with pytest.raises(ValueError, match="seeds >= 2"):
        seed_sd_interval(scores[:, :1])


def test_the_worst_tenth_is_the_mean_of_the_largest_tenth():
    assert worst_tenth([*range(20)]) == 18.5
    assert worst_tenth([1.0, 7.0, 2.0]) == 7.0


def test_a_median_lies_between_order_statistics():
    """The 3rd and the 10th of twelve (.961), the 1st and the 8th of eight (.992); five are too few for 95 %."""
    for count, low, high in ((12, 2, 9), (8, 0, 7), (6, 0, 5)):
        values = np.random.default_rng(count).permutation(count).astype(float)
        interval = median_interval(values)
        assert (interval.low, interval.high) == (low, high)
        inside = stats.binom.cdf(high, count, 0.5) - stats.binom.cdf(low, count, 0.5)
        assert inside >= 0.95
        assert interval.value == pytest.approx((count - 1) / 2)
    assert median_interval(np.arange(5.0)).high == np.inf
    assert speed_up(np.ones(5), np.ones(5)).low == 0.0


@pytest.mark.parametrize(("rounds", "exact"), [(12, 0.961), (8, 0.992)])
def test_speed_up_covers_real_residuals(rounds, exact):
    """What a run of the suite left over of its log-ratios; a block bootstrap holds .80 at 12 rounds and .72 at 8."""
    assert real_log_ratios().shape[1] == 12
    found = covered(speed_ups(rounds, 3000, np.random.default_rng(16)))
    assert found.held == pytest.approx(exact, abs=0.012)


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

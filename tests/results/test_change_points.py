"""Change points: against every possible cut, at the night of a step, and how often noise alone is called a change."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.results.change_points import (
    LEVEL,
    Noise,
    change_points,
    noise_of,
    own_noise,
    penalty,
    without_odd_values,
)


def by_trying_all(values, noise, shortest, level):
    """The cuts with the least sum of squares and penalties: slow, and plainly what is wanted."""
    count, cost = len(values), penalty(len(values), noise, 1, level)

    def total(cuts):
        parts = np.split(np.asarray(values) / noise.sd, cuts)
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) + cost * len(cuts)

    every = (cuts for k in range(count) for cuts in combinations(range(1, count), k))
    allowed = (cuts for cuts in every if all(b - a >= shortest for a, b in pairwise((0, *cuts, count))))
    return min(allowed, key=total)


@given(st.integers(0, 10**6), st.integers(3, 8), st.sampled_from([1, 2]))
def test_they_are_the_best_of_all_cuts(seed, count, shortest):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=count) + np.where(np.arange(count) >= rng.integers(1, count), 3.0, 0.0)
    if count >= 2 * shortest:
        noise = Noise(1.0)
        assert change_points(values, noise, shortest=shortest, level=0.5) == by_trying_all(values, noise, shortest, 0.5)


@pytest.mark.parametrize("known", [1.0, 0.0], ids=["known-noise", "own-noise"])
@pytest.mark.parametrize("shortest", [1, 2])
@pytest.mark.parametrize(("nights", "series"), [(6, 1), (15, 1), (30, 20)])
def test_noise_alone_is_called_a_change_no_more_often_than_the_level(nights, series, shortest, known):
    """The rate over whole histories; docs/history.md has those of a longer simulation."""
    rng = np.random.default_rng(nights)
    histories = 300 if series == 1 else 30
    alarms = 0
    for _ in range(histories):
        table = rng.normal(size=(series, nights))
        for row in table:  # with 2, as speed-ups are looked at
            noise = noise_of(row.tolist(), known, 1e-9, bound=shortest == 1)
            looked_at = row if shortest == 1 else without_odd_values(row.tolist())
            if change_points(looked_at, noise, series=series, shortest=shortest):
                alarms += 1
                break
    # The 99.9 % quantile of a binomial count at the level: 28 of 300, 6 of 30.
    assert alarms <= {300: 28, 30: 6}[histories]


@pytest.mark.parametrize("known", [1.0, 0.0], ids=["known-noise", "own-noise"])
@pytest.mark.parametrize("night", [5, 15, 25])
def test_a_step_is_found_at_its_night(night, known):
    """A step of six standard deviations in thirty nights, one of sixty series: at that very night nearly always."""
    rng = np.random.default_rng(night)
    exact = 0
    for _ in range(50):
        values = rng.normal(size=30) + np.where(np.arange(30) >= night, 6.0, 0.0)
        exact += change_points(values, noise_of(values.tolist(), known, 1e-9, bound=True), series=60) == (night,)
    assert exact >= 46


def test_one_odd_night_is_a_change_and_back_unless_a_stretch_must_be_longer():
    values = [1.0] * 6 + [2.0] + [1.0] * 6
    assert change_points(values, Noise(0.01)) == (6, 7)
    assert change_points(values, Noise(0.3), shortest=2) == ()


def test_a_running_median_drops_odd_values_and_keeps_steps():
    assert without_odd_values([1.0, 1.0, 9.0, 1.0, 1.0]) == [1.0] * 5
    assert without_odd_values([9.0, 1.0, 1.0, 1.0, 9.0]) == [1.0] * 5
    assert without_odd_values([1.0, 1.0, 1.0, 2.0, 2.0]) == [1.0, 1.0, 1.0, 2.0, 2.0]


def test_a_bound_of_the_noise_counts_unless_the_series_is_surely_noisier():
    rng = np.random.default_rng(0)
    values = rng.normal(size=12)
    own = own_noise(values)
    assert noise_of(values.tolist(), own.sd / 1.1, 1e-9, bound=True) == Noise(own.sd)
    assert noise_of(values.tolist(), own.sd / 1.1, 1e-9) == own
    assert noise_of(values.tolist(), own.sd / 4, 1e-9, bound=True) == own
    assert noise_of(values.tolist(), own.sd * 2, 1e-9, bound=True) == Noise(own.sd * 2)


def test_the_last_night_alone_can_be_a_change():
    assert change_points([1.0] * 9 + [2.0], Noise(0.01)) == (9,)


def test_the_noise_of_a_series_doesn_t_take_a_step_for_noise():
    rng = np.random.default_rng(0)
    quiet = [own_noise(rng.normal(size=40)).sd for _ in range(200)]
    stepped = [own_noise(rng.normal(size=40) + np.where(np.arange(40) >= 20, 50.0, 0.0)).sd for _ in range(200)]
    assert np.mean(quiet) == pytest.approx(1.0, abs=0.08)
    assert np.mean(stepped) == pytest.approx(np.mean(quiet), rel=0.08)


def test_few_nights_say_nothing_unless_the_noise_is_known():
    assert own_noise([1.0, 2.0, 1.0, 2.0]) is None
    assert noise_of([1.0, 2.0, 1.0], 0.0, 1e-9) is None
    assert noise_of([1.0, 2.0, 1.0], 0.1, 1e-9) == Noise(0.1)
    assert noise_of([1.0] * 8, 0.0, 1e-6) == Noise(1e-6)  # the same every night: as finely as it is stored
    assert change_points([1.0, 5.0], Noise(0.1)) == ()


def test_the_penalty_grows_with_nights_series_and_doubt():
    assert penalty(30, Noise(1.0), 1) == pytest.approx(9.8, abs=0.1)  # 3.1 standard deviations
    assert penalty(60, Noise(1.0), 1) > penalty(30, Noise(1.0), 1)
    assert penalty(30, Noise(1.0), 100) > penalty(30, Noise(1.0), 1)
    assert penalty(30, Noise(1.0, dof=10), 1) > penalty(30, Noise(1.0), 1)
    assert LEVEL == 0.05


@pytest.mark.parametrize(("values", "sd"), [([1.0, float("nan"), 1.0], 1.0), ([1.0, 2.0, 3.0], 0.0)])
def test_what_is_no_number_is_refused(values, sd):
    with pytest.raises(ValueError, match="finite values and a noise above 0"):
        change_points(values, Noise(sd))

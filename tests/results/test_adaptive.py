"""Looks at more and more prompts: what they cost, what they may get wrong, and what they decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.results.adaptive import ERROR, Standing, goes_on, look, looks, prompt_order, replay
from tests.simulations.real import real_harms


@pytest.mark.parametrize(
    ("prompts", "wanted"),
    [(64, (8, 12, 16, 24, 32, 48, 64)), (48, (6, 9, 12, 18, 24, 36, 48)), (8, (4, 6, 8)), (4, (4,)), (1, (1,))],
)
def test_the_looks_of_some_numbers_of_prompts(prompts, wanted):
    assert looks(prompts) == wanted


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_every_beginning_has_its_share_of_each_category(categories, seed):
    order = prompt_order(categories, seed)
    assert sorted(order) == list(range(len(categories)))
    assert order == prompt_order(categories, seed)
    for name in set(categories):
        share = categories.count(name) / len(categories)
        counts = np.cumsum([categories[i] == name for i in order])
        # Each category's places are even, so that a beginning is off by at most one of each category.
        assert np.abs(counts - share * np.arange(1, len(order) + 1)).max() <= 1 + len(set(categories))


def test_another_seed_is_another_order():
    assert prompt_order(("",) * 20, 0) != prompt_order(("",) * 20, 1)


def harms(means, spread=1.0, prompts=64, seed=0):
    """(V, P) harms of those means; the first variant is the least harmful."""
    rng = np.random.default_rng(seed)
    return np.array(means)[:, None] + spread * rng.normal(size=(len(means), prompts))


def test_what_is_clearly_harmful_or_harmless_stops_and_what_is_between_goes_on():
    table = harms([*np.linspace(0.0, 2.0, 12), 20.0, 30.0])
    first = look([row[:8] for row in table], 64)
    assert first.standings[-2:] == (Standing.OUTSIDE, Standing.OUTSIDE)
    assert first.first_tier[0]
    assert not any(first.first_tier[-2:])
    counts = [len(row) for row in replay(table, range(64))]
    assert counts[-2:] == [8, 8]
    assert max(counts[1:12]) > 8
    whole = look(list(table), 64)
    assert Standing.UNDECIDED not in whole.standings


def test_the_least_harmful_one_goes_on_beside_an_undecided_one_and_nobody_comes_back():
    table = harms([*np.linspace(0.0, 2.0, 12), 20.0])
    live = goes_on([row[:8] for row in table], 64)
    assert live[int(np.argmin(table[:, :8].mean(axis=1)))]
    assert not live[-1]
    later = goes_on([row[: 12 if number < 3 else 8] for number, row in enumerate(table)], 64)
    assert not any(later[3:])
    assert not any(goes_on(list(table), 64))


def test_a_single_variant_and_equal_ones_stop_at_the_first_look():
    assert [len(row) for row in replay(harms([3.0]), range(64))] == [8]
    assert [len(row) for row in replay(np.ones((4, 64)), range(64))] == [8, 8, 8, 8]


def test_a_prefix_of_the_order_is_what_is_measured():
    table = harms([0.0, 1.0, 9.0])
    order = prompt_order(("",) * 64, 3)
    for row, measured in zip(table, replay(table, order), strict=True):
        assert measured.tolist() == row[list(order)][: len(measured)].tolist()


def test_the_error_that_is_spent_over_all_looks_is_hardly_ever_exceeded():
    """Real harms of 64 prompts: how often any look's interval of a difference misses the mean of all, on one side."""
    rng = np.random.default_rng(0)
    schedule = looks(64)[:-1]
    below, above = [], []
    for _ in range(150):
        table = real_harms()[:, rng.permutation(512)[:64]]
        gap = table - table[int(np.argmin(table.mean(axis=1)))]
        truth = gap.mean(axis=1)
        low, high = np.zeros(len(gap), dtype=bool), np.zeros(len(gap), dtype=bool)
        for count in schedule:
            t = stats.t.ppf(1 - ERROR / len(schedule), count - 1)
            mean, error = gap[:, :count].mean(axis=1), gap[:, :count].std(axis=1, ddof=1)
            half = t * error * np.sqrt(1 / count - 1 / 64)
            low |= mean - half > truth + 1e-9
            high |= mean + half < truth - 1e-9
        below.append(low.mean())
        above.append(high.mean())
    assert np.mean(below) < ERROR
    assert np.mean(above) < ERROR + 0.1  # few prompts lose much, and a look that has none of them says too little


def test_a_replay_of_real_harms_saves_most_images_and_keeps_the_order_of_tiers():
    table = real_harms()[:, :64]
    measured = [replay(table, prompt_order(("",) * 64, seed)) for seed in range(2000, 2005)]
    shares = [sum(map(len, rows)) / table.size for rows in measured]
    assert np.median(shares) < 0.3
    taus = [stats.kendalltau([row.mean() for row in rows], table.mean(axis=1)).statistic for rows in measured]
    assert np.median(taus) > 0.7

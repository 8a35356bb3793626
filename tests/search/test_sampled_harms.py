"""Which removals harms are measured of, and how far velocity errors rank them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from harness.ablation.removals import mask_of
from harness.results.statistics import Interval
from harness.search import sampled_harms
from harness.search.journal import Measured, MeasuredHarm, MeasuredOn, open_journal, read_journal
from harness.search.sampled_harms import agreement, measure_harms, sampled_removals
from tests.helpers.records import quality

ON = MeasuredOn(quality("skip", 1.0).fingerprint, (0,))


def test_all_small_removals_and_as_many_of_each_larger_size():
    chosen = sampled_removals(12, 100, seed=0)
    sizes = Counter(map(len, chosen))
    assert len(set(chosen)) == len(chosen) == 12 + 66 + 100
    assert (sizes[1], sizes[2]) == (12, 66)
    assert {sizes[size] for size in range(3, 12)} == {11, 12}
    assert chosen == sampled_removals(12, 100, seed=0)
    assert chosen != sampled_removals(12, 100, seed=1)


def test_a_size_gives_no_more_than_it_has():
    sizes = Counter(map(len, sampled_removals(5, 60, seed=0)))
    assert sizes == {1: 5, 2: 10, 3: 10, 4: 5}
    assert sampled_removals(2, 60, seed=0) == [frozenset({0}), frozenset({1}), frozenset({0, 1})]


def test_harms_that_are_there_are_not_measured_again(tmp_path, monkeypatch, truth):
    asked = []

    def harm(_lab, _blocks, removal):
        asked.append(removal)
        return Interval(float(len(removal)), 0.0, 9.0)

    monkeypatch.setattr(sampled_harms, "harm_of", harm)
    removals = sampled_removals(9, 8, seed=0)
    path = tmp_path / "h.jsonl"
    seen = []
    measure_harms(None, truth.blocks, removals[:5], open_journal(path, ON), lambda *_: None)
    measure_harms(None, truth.blocks, removals, open_journal(path, ON), lambda *done: seen.append(done))
    assert asked == removals
    assert seen[-1] == (len(removals), len(removals))
    assert len(read_journal(path).harms) == len(removals)


def test_the_rank_correlation_is_by_size(tmp_path, truth):
    journal = open_journal(tmp_path / "h.jsonl", ON)
    removals = sampled_removals(9, 40, seed=0)
    sign = {1: -1.0, 2: 1.0}
    journal.append(
        Measured(r, MeasuredHarm(sign.get(len(r), 1.0) * truth.fine[mask_of(r)], 0.0, 1.0)) for r in removals
    )
    rho = dict(agreement(truth, journal))
    assert rho["1 block"].rho.value == pytest.approx(-1)
    assert rho["2 blocks"].rho.value == pytest.approx(1)
    assert rho["3 and more"].rho.value == pytest.approx(1)
    assert [each.n for each in rho.values()] == [9, 36, 40, 85]
    assert np.isfinite(rho["all"].rho.low)

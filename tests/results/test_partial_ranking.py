"""Variants with different numbers of prompts in one ranking: intervals, tiers and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from harness.errors import DataError
from harness.report.ranking_table import foot, title
from harness.report.ranking_terminal import render
from harness.results.adaptive import looks, prompt_order, replay
from harness.results.partial_ranking import harm_interval, partial_ranks, set_size
from harness.results.rank_intervals import partial_rank_intervals, rank_intervals
from harness.results.ranking import rank
from harness.results.records import Status, Subset, Verdict, from_json
from harness.results.statistics import mean_interval
from tests.helpers.records import quality, skip
from tests.simulations.real import real_harms

ORDER = prompt_order(("",) * 64)


def partial(record, count, spread=0.3, harm=None):
    """The record with ``count`` of 64 prompts."""
    measured = record.measurement
    rng = np.random.default_rng(count)
    values = (measured.summary["harm"] if harm is None else harm) + spread * rng.normal(size=count)
    indices = ORDER[:count] if count < 64 else tuple(range(64))
    new = replace(measured, n=count, prompts=count, values={"harm": tuple(values)}, subset=Subset(indices, 64))
    return replace(record, measurement=new)


@pytest.fixture
def records():
    return [
        partial(skip(place, harm)[0], count)
        for place, harm, count in (("L01", 0.1, 64), ("L02", 0.2, 24), ("L03", 20.0, 8), ("L04", 30.0, 8))
    ]


def test_all_of_them_are_ranked_together_with_their_numbers_of_prompts(records):
    (ranking,) = rank(records)
    assert [row.place for row in ranking.rows] == ["L01", "L02", "L03", "L04"]
    assert [row.summary["prompts_measured"] for row in ranking.rows] == [64, 24, 8, 8]
    assert (ranking.prompts, ranking.fewest) == (64, 8)
    assert [row.tier for row in ranking.rows] == [1, 1, 2, 2]
    assert title(ranking) == "least harmful variant: m (8 to 64 of 64 prompts)"
    assert any(line.startswith("adaptive: 104 of 256 images; tier 1 is") for line in foot(ranking))
    text = render(records, 200, colour=False)
    assert " prompts " in text


def test_without_a_choice_of_prompts_nothing_is_said_of_it():
    (ranking,) = rank([quality("skip", 0.1), quality("reverse", 0.4)])
    assert ranking.fewest is None
    assert "prompts_measured" not in ranking.rows[0].summary
    assert not any(line.startswith("adaptive") for line in foot(ranking))


def test_a_case_that_the_budget_left_out_is_named_with_the_reason(records):
    why = "the budget of 9 images was spent"
    left = replace(skip("L05", 0.1)[0], measurement=None, verdict=Verdict(Status.UNJUDGED, notes=(why,)))
    (ranking,) = rank([*records, left])
    assert ranking.unmeasured == {"m-s-L05-skip": why}
    assert f"not measured (1), as {why}: s-L05-skip" in foot(ranking)
    assert len(ranking.rows) == 4


def test_an_interval_allows_for_the_looks_unless_all_prompts_are_measured():
    values = np.random.default_rng(0).normal(size=16)
    whole = Subset(tuple(range(16)), 16)
    assert harm_interval(values, None) == harm_interval(values, whole) == mean_interval(values)
    part = harm_interval(values, Subset(tuple(range(16)), 64))
    assert part == mean_interval(values, 1 - 0.05 / len(looks(64)))
    assert part.high > mean_interval(values).high


def test_intervals_of_replayed_runs_hold_the_truth_whenever_a_variant_stopped():
    """The mean of 512 prompts, of which a run has 64: printed intervals of all variants, 95 % nominal."""
    rng = np.random.default_rng(0)
    truth = real_harms().mean(axis=1)
    held = []
    for run in range(40):
        table = real_harms()[:, rng.permutation(512)[:64]]
        measured = replay(table, prompt_order(("",) * 64, run))
        for row, mean in zip(measured, truth, strict=True):
            interval = harm_interval(row, Subset(tuple(range(len(row))), 64))
            held.append(interval.low <= mean <= interval.high)
    assert np.mean(held) > 0.93


def test_rank_intervals_of_equal_numbers_are_the_usual_ones_at_a_spent_level():
    table = np.random.default_rng(0).normal(size=(5, 32)) + np.arange(5)[:, None] * 3
    usual = rank_intervals(table, 1 - 0.05 / 7)
    assert partial_rank_intervals(table, 7) == (usual.low, usual.high)


def test_a_variant_with_few_prompts_has_a_wide_rank_interval():
    table = np.random.default_rng(0).normal(size=(4, 64)) + np.array([0.0, 9.0, 18.0, 27.0])[:, None]
    table[3, 4:] = np.nan
    low, high = partial_rank_intervals(table, 7)
    assert (low[:3], high[0]) == ((1, 2, 3), 2)
    assert (low[3], high[3]) == (1, 4)


def test_there_are_no_tiers_where_the_subsets_are_not_of_one_order():
    rng = np.random.default_rng(0)
    subsets = [Subset(tuple(range(8)), 64), Subset(tuple(range(30, 46)), 64)]
    ranks = partial_ranks([rng.normal(size=8), rng.normal(size=16)], subsets, 64)
    assert ranks.tier == (None, None)


def test_a_subset_is_stored_and_read_back_and_one_that_does_not_fit_is_refused():
    record = partial(quality("skip", 0.1), 16)
    assert record.measurement.subset.text == "16 of 64 prompts"
    assert set_size(record.measurement) == 64
    data = json.loads(json.dumps(record.to_json()))
    assert from_json(data) == record
    assert "subset" not in quality("skip", 0.1).to_json()["measurement"]
    for indices in ([0] * 16, list(range(15)), [*range(15), 64]):
        data["measurement"]["subset"]["indices"] = indices
        with pytest.raises(DataError, match="no choice of 16 from 64 prompts"):
            from_json(data)

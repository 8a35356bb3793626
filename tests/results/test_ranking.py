"""The ranking is a function of records: least harmful first, collapsed last, like with like."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from harness.results.ranking import rank
from harness.results.records import Measurement, Record, Status, Verdict
from harness.results.statistics import Interval, seed_sd_interval
from tests.helpers.records import FINGERPRINT, PROMPTS, latency, quality


def test_least_harmful_first_and_collapsed_last():
    blank = quality("c", 0.0, collapsed=PROMPTS - 1)
    one_blank = quality("e", 0.5, collapsed=1)
    (ranking,) = rank([quality("a", 2.0), quality("b", 0.1), blank, quality("d", 1.0), one_blank])
    assert [row.strategy for row in ranking.rows] == ["b", "e", "d", "a", "c"]
    assert [row.tier for row in ranking.rows] == [1, 2, 3, 4, 5]
    assert ranking.rows[0].rank_low == ranking.rows[0].rank_high == 1


def starred(harms, timings):
    (ranking,) = rank([quality(n, h) for n, h in harms.items()] + timings)
    return {row.strategy for row in ranking.rows if row.pareto}


def test_pareto_marks_what_is_surely_faster_than_all_that_harms_less():
    harms = {"a": 0.1, "b": 0.5, "c": 0.6, "d": 0.05}
    timings = [latency("a", 1.15), latency("b", 1.5), latency("c", 1.2)]
    assert starred(harms, timings) == {"a", "b"}
    # The intervals of b and a overlap: b is faster by chance.
    assert starred(harms, [latency("a", 1.15), latency("b", 1.3), latency("c", 1.2)]) == {"a"}


def test_no_permutation_is_starred_for_a_lucky_timing():
    """The least harmful variant, 1.01 times as fast, with an interval above 1: it runs every block."""
    harms = {"shuffle": 0.1, "skip": 0.5}
    timings = [latency("shuffle", 1.01, half=0.005, theory=1.0), latency("skip", 1.3)]
    assert starred(harms, timings) == {"skip"}
    assert starred(harms, [timings[0], latency("skip", 1.05)]) == set()  # 0.95 to 1.15: not surely faster


def test_harm_in_points_has_the_interval_of_harm_in_sd():
    record = quality("a", 0.5)
    measured = record.measurement
    summary = {**measured.summary, "seed_sd": 0.25, "harm": 2.0}
    (ranking,) = rank([replace(record, measurement=replace(measured, summary=summary))])
    (row,) = ranking.rows
    assert row.harm == pytest.approx(2.0)
    assert (row.points_low, row.points_high) == (pytest.approx(row.harm_low / 4), pytest.approx(row.harm_high / 4))


def test_the_unit_comes_with_its_interval():
    """From the variant's own record; in journals of earlier versions from the control's scores."""
    record = quality("a", 0.5)
    assert rank([record])[0].unit is None
    scores = np.random.default_rng(0).normal(size=(PROMPTS, 4))
    control = Record.of_control(
        FINGERPRINT, Verdict(Status.OK), Measurement(scores.size, PROMPTS, {"score": tuple(scores.ravel())}, {})
    )
    unit = rank([record, control])[0].unit
    assert (unit.low, unit.value) == (seed_sd_interval(scores).low, 1.0)
    summary = {**record.measurement.summary, "seed_sd_low": 0.5, "seed_sd_high": 2.0}
    known = replace(record, measurement=replace(record.measurement, summary=summary))
    assert rank([known, control])[0].unit == Interval(1.0, 0.5, 2.0)


def test_batches_are_those_of_the_records():
    record = replace(quality("a", 0.5), fingerprint=replace(FINGERPRINT, sampling={"batch": 64}))
    (ranking,) = rank([record, latency("a", 1.2)])
    assert (ranking.sampled_batch, ranking.timed_batch) == (PROMPTS, 8)
    assert rank([quality("a", 0.5)])[0].sampled_batch is None


def test_few_prompts_are_ranked_without_tiers():
    records = []
    for name, harm in (("a", 0.1), ("b", 5.0)):
        record = quality(name, harm)
        values = {"harm": record.measurement.values["harm"][:8]}
        records.append(replace(record, measurement=replace(record.measurement, n=8, prompts=8, values=values)))
    (ranking,) = rank(records)
    assert (ranking.tiers, [row.tier for row in ranking.rows]) == (0, [None, None])


def test_strategies_are_summed_up_within_equal_ranges():
    records = [
        quality("shuffle.s0", 0.2),
        quality("shuffle.s1", 0.4),
        quality("shuffle.s2", 0.9),
        quality("skip", 0.1, words=("first",)),
    ]
    (ranking,) = rank(records)
    assert [(g.depth, g.strategy, g.cases, g.harm) for g in ranking.groups] == [
        ("first", "skip", 1, pytest.approx(0.1)),
        ("middle", "shuffle", 3, pytest.approx(0.4)),
    ]


def test_a_quick_run_among_full_ones_is_left_out():
    small = quality("x", 0.1)
    small = replace(small, measurement=replace(small.measurement, prompts=4, n=4, values={"harm": (0.1,) * 4}))
    (ranking,) = rank([quality("a", 0.3), small])
    assert [row.strategy for row in ranking.rows] == ["a"]


def test_checkpoints_are_ranked_apart():
    other = replace(quality("a", 0.3), checkpoint="n", case="n-s-a")
    assert [r.checkpoint for r in rank([quality("a", 0.1), other])] == ["m", "n"]


def test_rankings_tell_windows_apart():
    """Cases of one strategy, each with its own seeds' median, never mixed with another window's."""
    records = [
        dataclasses.replace(quality(f"shuffle.s{s}", harm), case=f"m-s-{s}-{w}", window=w)
        for w, harm in ((None, 3.0), ((0, 1), 1.0), ((2, 3), 2.0))
        for s in range(2)
    ]
    (ranking,) = rank(records)
    assert {row.strategy for row in ranking.rows} == {
        f"shuffle.s{s}{w}" for s in range(2) for w in ("", "-steps-0-1", "-steps-2-3")
    }
    assert {(g.strategy, g.cases, round(g.harm, 6)) for g in ranking.groups} == {
        ("shuffle", 2, 3.0),
        ("shuffle-steps-0-1", 2, 1.0),
        ("shuffle-steps-2-3", 2, 2.0),
    }

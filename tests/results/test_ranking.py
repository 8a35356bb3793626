"""The ranking is a function of records: least harmful first, collapsed last, like with like."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from harness.results.ranking import rank
from tests.helpers.records import PROMPTS, latency, quality


def test_least_harmful_first_and_collapsed_last():
    blank = quality("c", 0.0, collapsed=PROMPTS - 1)
    one_blank = quality("e", 0.5, collapsed=1)
    (ranking,) = rank([quality("a", 2.0), quality("b", 0.1), blank, quality("d", 1.0), one_blank])
    assert [row.strategy for row in ranking.rows] == ["b", "e", "d", "a", "c"]
    assert [row.tier for row in ranking.rows] == [1, 2, 3, 4, 5]
    assert ranking.rows[0].rank_low == ranking.rows[0].rank_high == 1


def test_pareto_marks_what_no_other_beats_on_both():
    records = [quality(n, h) for n, h in (("a", 0.1), ("b", 0.5), ("c", 0.6), ("d", 0.05))]
    records += [latency(n, r) for n, r in (("a", 1.1), ("b", 1.5), ("c", 1.2))]
    (ranking,) = rank(records)
    assert {row.strategy for row in ranking.rows if row.pareto} == {"a", "b"}


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


def test_what_was_measured_differently_is_in_a_table_of_its_own():
    records = [quality("a", 0.5), quality("b", 0.7), latency("a", 1.3)]
    other = replace(records[0].fingerprint, dtype="bfloat16", judge="k")
    records += [replace(quality("c", 0.1), fingerprint=other), replace(latency("c", 1.2), fingerprint=other)]
    first, second = rank(records)
    assert [row.strategy for row in first.rows] == ["a", "b"]
    assert [row.strategy for row in second.rows] == ["c"]
    assert (first.apart, second.apart) == ("", "judge j -> k, dtype float32 -> bfloat16")
    assert (first.fingerprint, second.fingerprint) == (records[0].fingerprint, other)
    assert second.rows[0].latency is not None


def test_shards_of_other_machines_are_ranked_together():
    elsewhere = replace(quality("a", 0.5).fingerprint, capability="AVX2", threads=8, machine="other")
    (ranking,) = rank([quality("a", 0.5), replace(quality("b", 0.7), fingerprint=elsewhere)])
    assert len(ranking.rows) == 2


@pytest.mark.parametrize(
    ("values", "summary", "why"),
    [
        ({"harm": (float("nan"),) * PROMPTS}, {}, "its harm was not measured, or is no number"),
        ({}, {}, "its harm was not measured, or is no number"),
        (None, {"seed_sd": 0.0}, "its unit of harm is 0.0"),
        (None, {"seed_sd": -1.0}, "its unit of harm is -1.0"),
        (None, {"collapsed": float("nan")}, "its collapsed images were not counted"),
    ],
)
def test_a_variant_that_can_not_be_ranked_is_left_out_and_said(values, summary, why):
    bad = quality("bad", 0.5)
    measured = bad.measurement
    values = measured.values if values is None else values
    bad = replace(bad, measurement=replace(measured, values=values, summary=measured.summary | summary))
    (ranking,) = rank([quality("a", 0.5), bad])
    assert [row.strategy for row in ranking.rows] == ["a"]
    assert ranking.left_out == {"m-s-bad": why}

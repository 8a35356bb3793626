"""The ranking is a function of records: least harmful first, collapsed last, like with like."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import pytest

from harness.results.ranking import rank
from harness.results.records import Status
from tests.helpers.records import PROMPTS, latency, quality, raised


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


def test_what_raised_is_not_ranked_but_named():
    run = [quality("skip", 1.0), raised(quality("swap", 0.1), "TypeError: x"), quality("reverse", 0.2)]
    timing = raised(latency("skip", 1.2), "RuntimeError: y")
    other = replace(raised(quality("skip", 0.3), "OSError: z"), checkpoint="n", case="n-s-skip")
    ranking, nothing = rank([*run, timing, other])
    assert [row.case for row in ranking.rows] == ["m-s-reverse", "m-s-skip"]
    assert ranking.errors == {"m-s-swap": "TypeError: x", "m-s-skip (latency)": "RuntimeError: y"}
    assert (nothing.checkpoint, nothing.rows, nothing.errors) == ("n", (), {"n-s-skip": "OSError: z"})


def test_what_was_measured_before_its_test_raised_is_ranked_and_says_so():
    made = quality("skip", 1.0)
    late = replace(made, verdict=replace(made.verdict, status=Status.ERROR, notes=("AssertionError: too slow",)))
    (ranking,) = rank([late, quality("swap", 0.1)])
    assert [(row.case, row.gate) for row in ranking.rows][1] == ("m-s-skip", Status.ERROR)
    assert ranking.errors == {}

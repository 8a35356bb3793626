"""Which variants save time, and which of them answer what can go."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.results.ranking import rank
from harness.results.removal import leaves_out_blocks, single_block, what_can_go
from tests.helpers.records import latency, quality, skip


def rows(*records):
    (ranking,) = rank([r for part in records for r in (part if isinstance(part, list) else [part])])
    return {row.case.removeprefix("m-s-"): row for row in ranking.rows}


def test_a_timing_says_whether_blocks_are_left_out_and_else_the_strategy():
    found = rows(
        skip("L01", 0.1),
        quality("reverse", 0.2),
        quality("plan-1234", 0.3),
        latency("plan-1234", 1.2, theory=1.2),
        quality("skip-attn", 0.2),
        quality("skip-text", 0.2),
        quality("parallel.t3", 0.4),
        latency("parallel.t3", 0.7, theory=0.6),
    )
    assert {name: leaves_out_blocks(row) for name, row in found.items()} == {
        "L01-skip": True,
        "reverse": False,
        "plan-1234": True,
        "skip-attn": True,
        "skip-text": False,
        "parallel.t3": False,
    }


def test_the_least_harmful_skip_of_each_length_and_the_front_can_go():
    found = rows(
        skip("L01", 0.1),
        skip("L02", 0.2),  # as long as L01, and more harmful
        skip("L03", 0.3, 1.5),  # surely faster
        skip("L01-02", 0.4),
        skip("L02-03", 0.5),
        quality("reverse", 0.0),
    )
    assert found["L03-skip"].pareto
    chosen = what_can_go(list(found.values()))
    assert [row.place for row in chosen] == ["L01", "L03", "L01-02"]
    other = rows(skip("L01", 0.1), [replace(skip("L05", 0.9, stack="t")[0], case="m-t-L05-skip")])
    assert len(what_can_go(list(other.values()))) == 2  # of each stack
    assert what_can_go(list(rows(quality("reverse", 0.0)).values())) == ()


@pytest.mark.parametrize(
    ("place", "strategy", "block"),
    [
        ("L07", "skip", 7),
        ("L07-08", "skip", None),
        ("L07", "repeat", None),
        ("L07", "skip-steps-0-1", None),  # in some steps only
        ("", "skip", None),
        ("L99999", "skip", None),
        ("L08-07", "skip", None),
    ],
)
def test_a_single_block_is_known_by_its_place(place, strategy, block):
    (row,) = rows(replace(quality("skip", 0.1), place=place, strategy=strategy)).values()
    assert single_block(row) == block


@pytest.mark.parametrize(
    ("plan", "leaves_out"),
    [("0-3 5-9", True), ("0 2 1 3", False), ("0-1 (2|3)x2 4", False), ("3 4 4", True), ("?", False)],
)
def test_a_plan_by_hand_that_was_not_timed_leaves_out_blocks_where_it_has_gaps(plan, leaves_out):
    (ranking,) = rank([replace(quality("plan-1", 0.5, words=("by-hand",)), plan=plan)])
    assert leaves_out_blocks(ranking.rows[0]) is leaves_out

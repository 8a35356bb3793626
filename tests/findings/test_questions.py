"""Three-valued comparisons: what holds, what fails, and what an interval leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.findings.intervals import exact
from harness.findings.questions import (
    Answer,
    Condition,
    Direction,
    Either,
    Question,
    answered,
    any_of,
    decisive,
    every,
    members,
    settled,
    some,
)
from harness.results.statistics import Interval
from tests.helpers.studies import quiet

finite = st.floats(-1e6, 1e6, allow_nan=False)
answers = st.lists(st.sampled_from(Answer), max_size=5)


@st.composite
def intervals(draw):
    low, middle, high = sorted(draw(st.tuples(finite, finite, finite)))
    return Interval(middle, low, high)


@quiet
@given(intervals(), finite, st.sampled_from(Direction))
def test_the_opposite_direction_has_the_opposite_answer(value, threshold, direction):
    other = Condition("x", value, direction.opposite, threshold, "").answer
    swapped = {Answer.HOLDS: Answer.FAILS, Answer.FAILS: Answer.HOLDS, Answer.OPEN: Answer.OPEN}
    assert Condition("x", value, direction, threshold, "").answer is swapped[other]
    assert direction.opposite.opposite is direction


@quiet
@given(intervals(), finite, st.sampled_from(Direction), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_wider_interval_only_ever_opens(value, threshold, direction, down, up):
    narrow = Condition("x", value, direction, threshold, "").answer
    wider = Interval(value.value, value.low - down, value.high + up)
    assert Condition("x", wider, direction, threshold, "").answer in (narrow, Answer.OPEN)


@quiet
@given(finite, finite, st.sampled_from(Direction))
def test_a_point_is_decided_as_python_compares(value, threshold, direction):
    truth = {
        Direction.LESS: value < threshold,
        Direction.AT_MOST: value <= threshold,
        Direction.MORE: value > threshold,
        Direction.AT_LEAST: value >= threshold,
    }[direction]
    found = Condition("x", Interval(value, value, value), direction, threshold, "").answer
    assert found is (Answer.HOLDS if truth else Answer.FAILS)


def test_what_is_no_number_or_without_end_is_open():
    for value in (Interval(np.nan, np.nan, np.nan), Interval(1.0, -np.inf, np.inf), Interval(1.0, np.nan, 2.0)):
        for direction in Direction:
            assert Condition("x", value, direction, 0.0, "").answer is Answer.OPEN


@quiet
@given(answers)
def test_every_and_some_are_kleenes(found):
    rank = {Answer.FAILS: 0, Answer.OPEN: 1, Answer.HOLDS: 2}
    assert rank[every(found)] == min((rank[a] for a in found), default=2)
    assert rank[some(found)] == max((rank[a] for a in found), default=0)


@quiet
@given(st.lists(st.lists(intervals(), min_size=1, max_size=3), min_size=1, max_size=4))
def test_the_decisive_comparison_gives_the_verdict(rows):
    conditions = [
        Either(tuple((Condition("x", value, Direction.MORE, 0.0, ""),) for value in row))
        if len(row) > 1
        else Condition("x", row[0], Direction.MORE, 0.0, "")
        for row in rows
    ]
    found = decisive(conditions)
    assert found.answer is every(map(answered, conditions))
    assert found in list(members(conditions))


def test_the_decisive_comparison_is_the_closest_call_or_the_clearest_failure():
    far, near = (Condition(n, Interval(v, v - 1, v + 1), Direction.MORE, 0.0, "") for n, v in (("far", 9), ("near", 2)))
    assert decisive([far, near]).what == "near"
    worse, bad = (
        Condition(n, Interval(-v, -v - 1, -v + 1), Direction.MORE, 0.0, "") for n, v in (("worse", 9), ("bad", 2))
    )
    assert decisive([far, bad, worse, near]).what == "worse"
    assert decisive([Either(((bad,), (worse,)))]).what == "bad"  # the alternative that came the furthest
    assert decisive([Either(((far, near), (bad,)))]).what == "near"
    assert decisive([]) is None


def test_a_comparison_reads_with_the_figures_it_has():
    def said(value, low, high, unit="sd"):
        return str(Condition("x", Interval(value, low, high), Direction.LESS, 0.5, unit))

    assert said(0.2, 0.1, 0.3) == "x: 0.20 [0.10, 0.30] sd, claimed less than 0.5"
    assert said(0.0123, 0.0118, 0.0128) == "x: 0.01230 [0.01180, 0.01280] sd, claimed less than 0.5"
    assert said(0.005, 0.005, 0.005, "") == "x: 0.005, claimed less than 0.5"
    assert said(-0.001, -9.0, 9.0) == "x: 0.00 [-9.00, 9.00] sd, claimed less than 0.5"
    assert said(1.0, -np.inf, np.inf) == "x: 1.00 [-inf, inf] sd, claimed less than 0.5"


def test_an_alternative_of_several_needs_all_of_them():
    yes, no = (Condition("x", Interval(v, v, v), Direction.MORE, 0.0, "") for v in (1.0, -1.0))
    assert answered(Either(((yes, no), (yes,)))) is Answer.HOLDS
    assert answered(Either(((yes, no), (no,)))) is Answer.FAILS
    either = any_of(
        Question("a", exact(1), Direction.MORE, 0, ""), [Question("b", exact(1), Direction.MORE, 0, "")] * 2
    )
    assert [len(alternative) for alternative in either.alternatives] == [1, 2]


def test_intervals_of_one_claim_hold_together():
    levels = []

    def evidence(level):
        levels.append(level)
        return Interval(1.0, 0.5, 1.5)

    question = Question("x", evidence, Direction.MORE, 0.0, "")
    settled([question, any_of([question, question], question)], 0.95)
    assert levels == pytest.approx([1 - 0.05 / 4] * 4)

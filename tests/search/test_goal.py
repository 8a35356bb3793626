"""What a candidate saves: of removals the shares, of other plans by what is saved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.plan import parse
from harness.ablation.removals import Blocks
from harness.search.candidates import StackPlans, candidate_of, plans_of
from harness.search.goal import Goal, Saving

LENGTHS = {"double": 3, "single": 6}
SHARES = (0.12, 0.12, 0.12, 0.08, 0.08, 0.08, 0.08, 0.08, 0.08)


def goal(saving, target=0.2):
    return Goal(Blocks(LENGTHS, SHARES), target, saving)


def single(text):
    return StackPlans((("single", parse(text)),))


def test_a_speed_up_is_the_inverse_of_what_is_left():
    blocks = Goal(Blocks.alike(LENGTHS), 4.0, Saving.RUNS, 9.0)
    assert blocks.speed_up(frozenset({0, 1, 2})) == pytest.approx(9 / 6)
    assert blocks.speed_up(frozenset(range(9))) == float("inf")
    timed = Goal(Blocks(LENGTHS, (0.1,) * 9), 0.2, Saving.TIME)
    assert timed.speed_up(frozenset({0, 5})) == pytest.approx(1.25)


@pytest.mark.parametrize(
    ("plan", "runs", "parameters"),
    [
        ("0 2 2 2 4 5", 0.0, 0.16),  # blocks 1 and 3 never run
        ("0 (1|2|3|4) 5", 0.0, 0.0),
        ("0 (1|2|3|4)x3 5", -8 * 0.08, 0.0),
        ("5 4 3 2 1 0", 0.0, 0.0),
        ("2 2", 4 * 0.08, 5 * 0.08),
        ("-", 6 * 0.08, 6 * 0.08),
    ],
)
def test_a_block_that_runs_twice_takes_its_time_twice_and_its_parameters_once(plan, runs, parameters):
    assert goal(Saving.TIME).saved(single(plan)) == pytest.approx(runs)
    assert goal(Saving.RUNS).saved(single(plan)) == pytest.approx(runs)
    assert goal(Saving.PARAMETERS).saved(single(plan)) == pytest.approx(parameters)


@given(st.sets(st.integers(0, 8)), st.sampled_from(Saving))
def test_a_removal_saves_the_same_by_its_shares_and_by_its_plans(gone, saving):
    """Whatever is saved: what never runs takes neither time nor parameters."""
    blocks = goal(saving).blocks
    plans = StackPlans(tuple(plans_of(frozenset(gone), blocks).items()))
    assert goal(saving).saved(plans) == pytest.approx(goal(saving).saved(frozenset(gone)))
    assert candidate_of(dict(plans.by_stack), blocks) == frozenset(gone)


def test_a_goal_is_reached_up_to_rounding():
    assert goal(Saving.PARAMETERS, 0.08 * 3).reached_by(single("0 2 2 2 2 5"))
    assert goal(Saving.PARAMETERS, 0.1 + 0.2 - 0.06).reached_by(single("0 2 2 2 2 5"))
    assert not goal(Saving.PARAMETERS, 0.08 * 3).reached_by(single("0 2 2 2 4 5"))

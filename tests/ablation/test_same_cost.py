"""What plans are compared with: it saves as much as was asked for, and no group of it could save less and do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.grid import SAME_COST, Ask, expand
from harness.ablation.same_cost import SPEED_UPS, same_cost_modifiers

STACKS = {"double": 5, "single": 10}


def texts(steps, *speed_ups):
    groups = same_cost_modifiers(STACKS, steps, speed_ups or SPEED_UPS)
    return ["+".join(map(str, group)) for group in groups]


def test_of_four_steps_there_are_two_of_each():
    assert texts(4) == [
        "fewer-steps.3",
        "double-L00-04-reuse.n2-steps-2-3+single-L00-09-reuse.n2-steps-2-3",
        "fewer-steps.2",
        "double-L00-04-reuse.n2+single-L00-09-reuse.n2",
    ]


def test_of_28_steps_there_is_one_of_each_for_every_speed_up():
    assert [text for text in texts(28) if text.startswith("fewer")] == [f"fewer-steps.{n}" for n in (25, 22, 18, 14)]
    assert texts(28, 1.25)[1] == "double-L00-04-reuse.n2-steps-16-27+single-L00-09-reuse.n2-steps-16-27"


def test_one_step_has_none_and_more_than_twice_is_for_fewer_steps_alone():
    assert texts(1) == texts(0) == []
    assert texts(28, 4.0) == ["fewer-steps.7"]


@given(st.integers(1, 60), st.floats(1.01, 8.0))
def test_each_saves_enough_and_a_step_less_would_not(steps, speed_up):
    for group in same_cost_modifiers(STACKS, steps, (speed_up,)):
        cost = 1.0 - sum(1.0 - modifier.cost(STACKS, steps) for modifier in group)
        assert cost <= 1.0 / speed_up + 1e-6
        assert cost + 1.0 / steps > 1.0 / speed_up - 1e-6


def test_an_ask_of_it_is_cases_with_the_word_for_k():
    cases = expand("flux-tiny", STACKS, [Ask(("double",), ("1",), ("skip",)), SAME_COST], steps=4)
    assert cases[0].id == "flux-tiny-double-L01-skip"
    assert {case.id for case in cases[1:]} == {f"flux-tiny-{text}" for text in texts(4)}
    assert [("same-cost" in case.words) for case in cases] == [False, True, True, True, True]

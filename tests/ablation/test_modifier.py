"""The declaration of a modifier."""

from __future__ import annotations

import pytest

from harness.ablation.modifier import BARE, CostOf, Modifier, Parameter


def test_it_says_what_may_be_written_behind_its_name():
    modifier = Modifier(
        "mine",
        "",
        "x:Y",
        parameters={BARE: Parameter("steps", 1, 9), "n": Parameter("of", default=2)},
        choices={"a": "b"},
    )
    assert modifier.takes == "a (b), N (steps, 1 to 9), nN (of, 0 to 9999, default 2)"
    assert Modifier("mine", "", "x:Y").takes == "nothing"


@pytest.mark.parametrize(("window", "active"), [(None, 4), ((1, 2), 2), ((0, 0), 1)])
def test_the_steps_in_which_it_holds(window, active):
    assert CostOf(1.0, 4, window).active == active

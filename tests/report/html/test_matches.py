"""Plans beside fewer steps and residual reuse of the same speed-up, from records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.ablation.modifiers import WORD
from harness.report.html.matches import match_data
from harness.results.ranking import rank
from tests.helpers.runs import control, timing, variant


def modified(strategy, harm):
    record = variant("", strategy, harm, plan="", words=(WORD, strategy))
    return replace(record, case=f"m-{strategy}", stack="")


def records(*more):
    plan = variant("L01-03", "skip", 2.0, plan="0 4")
    out = [control(), plan, timing(plan, 1.5, theory=1.5)]
    for record in more:
        out += [record, timing(record, 1.5, theory=1.5)]
    return out


def test_the_best_of_each_kind_at_each_speed_up_that_it_has():
    mine = records(modified("fewer-steps.3", 1.0), modified("reuse.n2", 3.0))
    (ranking,) = rank(mine)
    matches = match_data(mine, ranking)
    at = [match for match in matches if match["speed_up"] == 1.5]
    assert [(match["kind"], match["names"]) for match in at] == [
        ("plan", ["s-L01-03-skip"]),
        ("fewer steps", ["fewer-steps.3"]),
        ("residual reuse", ["reuse.n2"]),
    ]
    assert at[0]["more"] is None
    assert at[1]["more"][0] == pytest.approx(-1.0)
    assert not [match for match in matches if match["speed_up"] == 2.0]


def test_plans_alone_are_compared_with_nothing():
    mine = records()
    (ranking,) = rank(mine)
    assert match_data(mine, ranking) == []

"""Which cases of a run compete at the same cost, and with what."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.ablation.modifiers import WORD as MODIFIER
from harness.results.matched_compute import FEWER_STEPS, PLAN, REUSE
from harness.results.ranking import rank
from harness.results.same_cost import same_cost, way_of
from tests.helpers.records import quality
from tests.helpers.rivals import modifiers, plan


def compared(*cases):
    records = [record for case in cases for record in case]
    (ranking,) = rank(records)
    return same_cost(records, ranking)


def test_each_kind_has_its_best_at_the_speed_ups_that_a_plan_reaches():
    matches = compared(
        plan("skip", 3.0),
        plan("skip-more", 9.0, 1.6),
        modifiers("fewer-steps.3", 1.0, 4 / 3),
        modifiers("reuse.n2", 2.0, 2.0),
    )
    assert [match.speed_up for match in matches] == [1.1, 1.25, 1.5]
    assert [[best.kind for best in match.kinds] for match in matches] == [
        [PLAN, FEWER_STEPS, REUSE],
        [PLAN, FEWER_STEPS, REUSE],
        [PLAN, REUSE],
    ]
    rival = matches[0].kinds[1]
    assert rival.names == ("m-s-fewer-steps.3",)
    harms = [
        np.array(quality(name, harm).measurement.values["harm"])
        for name, harm in (("fewer-steps.3", 1.0), ("skip", 3.0))
    ]
    assert rival.more_than_plan.value == pytest.approx((harms[0] - harms[1]).mean())


@pytest.mark.parametrize(
    "other",
    [
        plan("skip-more", 9.0, 1.6),  # no rival
        modifiers("quant-int8", 1.0, 1.0),  # saves nothing
        modifiers("first-block-cache.t200", 1.0, 1.5),  # of no kind that is compared
        modifiers("fewer-steps.3+reuse.n2", 1.0, 2.0),  # of both
        modifiers("fewer-steps.3", 1.0, 4 / 3)[:1],  # not timed
        modifiers("reuse.n2", 1.0, 4 / 3, window=(0, 1)),
        [replace(record, words=(MODIFIER,)) for record in plan("skip+reuse.n2", 1.0)],  # both at once
    ],
)
def test_what_does_not_compete(other):
    assert compared(plan("skip", 3.0), other) == ()


def test_rivals_alone_are_no_comparison():
    assert compared(modifiers("fewer-steps.3", 1.0, 4 / 3), modifiers("reuse.n2", 2.0, 2.0)) == ()


@pytest.mark.parametrize(
    ("words", "strategy", "kind"),
    [
        (("middle",), "skip", "plan"),
        ((MODIFIER,), "fewer-steps.3", "fewer steps"),
        ((MODIFIER,), "reuse.n2", "residual reuse"),
        ((MODIFIER,), "reuse.n2+single-L00-09-reuse.n2", "residual reuse"),
        ((MODIFIER,), "reuse.n2-steps-2-3+single-L00-09-reuse.n2-steps-2-3", "residual reuse"),
        ((MODIFIER,), "skip+fewer-steps.3", "combined"),
        ((MODIFIER,), "cache.x", "modifier"),
    ],
)
def test_the_ways_of_saving_time(words, strategy, kind):
    assert way_of(words, strategy) == kind

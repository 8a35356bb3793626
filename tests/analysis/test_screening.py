"""Screening ranks plans by velocity error, counts its cost, and says what its order is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.plan import Plan, parse
from harness.analysis.predictors import spearman
from harness.analysis.screening import ScreenedPlan, Screening, affordable, against_harm, doubts, evenly_spaced, screen
from harness.analysis.velocity import single_skips, velocity_maps
from harness.results.statistics import Interval

LENGTHS = {"double": 5, "single": 10}


@given(st.integers(1, 60), st.integers(1, 60))
def test_indices_are_spread_evenly(count, of):
    chosen = evenly_spaced(count, of)
    assert len(chosen) == min(count, of) == len(set(chosen))
    assert list(chosen) == sorted(chosen)
    assert chosen[0] >= 0
    assert chosen[-1] < of
    gaps = np.diff(chosen)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_every_second_of_ten():
    assert evenly_spaced(5, 10) == (1, 3, 5, 7, 9)
    assert evenly_spaced(1, 4) == (2,)
    assert evenly_spaced(9, 4) == (0, 1, 2, 3)


def test_as_much_is_taken_as_some_thirty_images_allow():
    tiny = affordable(LENGTHS, single_skips(LENGTHS), 4)
    assert tiny == (6, 2)  # 6 (1 + 2 x 8 / 4) images
    flux = {"double": 19, "single": 38}
    assert affordable(flux, single_skips(flux), 50) == (7, 5)  # 7 (1 + 5 x 29 / 50) = 27.3
    assert affordable(LENGTHS, [{"double": parse("0 0 0 0")}] * 3 + single_skips(LENGTHS) * 2, 1) == (4, 1)


def test_the_order_is_that_of_the_maps(lab):
    prompts = lab.prompts[:4]
    plans = [*single_skips(LENGTHS), {"single": parse("0 1 7 6 5 4 3 2 8 9")}]
    found = screen(lab.sampler, LENGTHS, prompts, plans, steps=(1, 3))
    maps = velocity_maps(lab)
    by_text = {each.text: each.error.value for each in found.plans}
    for stack, velocity in maps.items():
        for block in range(LENGTHS[stack]):
            plan = Plan(tuple(i for i in range(LENGTHS[stack]) if i != block))
            expected = velocity.error[:4, [1, 3], block].mean()
            assert by_text[f"{stack}: {plan}"] == pytest.approx(expected, rel=1e-4)
    errors = [each.error.value for each in found.plans]
    assert errors == sorted(errors)
    assert {round(each.share, 4) for each in found.plans} == {round(14 / 15, 4), 1.0}
    # 4 images of the control, and at 2 of 4 steps 15 (15 + 1) / 2 blocks and the 8 of the reversal that share nothing.
    assert found.cost == pytest.approx(4 * (1 + 2 / 4 * (120 + 8) / 15))
    assert found.reliability.n == 16


def screening(errors, reliability=0.9):
    plans = tuple(
        ScreenedPlan({"s": parse(str(i))}, Interval(error, error, error), 0.5) for i, error in enumerate(errors)
    )
    known = spearman([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
    return Screening(plans, 8, (0,), 1.0, replace(known, rho=Interval(reliability, 0.1, 1.0)))


def test_harms_that_are_stored_are_compared_by_plan():
    found = screening([0.1, 0.2, 0.3, 0.4])
    harms = {"s: 0": 1.0, "s: 1": 2.0, "s: 2": 3.0, "s: 3": 4.0, "t: 0": 9.0}
    assert against_harm(found, harms).rho.value == 1
    assert against_harm(found, {name: -value for name, value in harms.items()}).rho.value == -1
    assert against_harm(found, {"s: 0": 1.0}) is None


def test_what_speaks_against_the_order_is_said():
    fine = against_harm(screening([0.1, 0.2, 0.3, 0.4]), {f"s: {i}": float(i) for i in range(4)})
    assert doubts(screening([0.1, 0.2]), fine) == []
    (said,) = doubts(screening([0.1, 0.2]), None)
    assert "no harms are stored" in said
    (said,) = doubts(screening([0.1, 0.2], reliability=0.5), fine)
    assert "take more prompts or steps" in said
    (said,) = doubts(screening([0.9, 0.8, 0.1]), fine)
    assert "above 0.5" in said
    (said,) = doubts(replace(screening([0.1]), reliability=None), fine)
    assert "fewer than 4" in said
    (said,) = doubts(screening([0.1]), replace(fine, rho=Interval(0.2, 0.0, 0.4)))
    assert "agrees with the stored harms by" in said

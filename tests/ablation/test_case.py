"""Cases by hand, and names that fit ids."""

from __future__ import annotations

import re

import pytest

from harness.ablation.case import by_hand, over_stack, slug
from harness.ablation.plan import parse
from harness.errors import CaseError, PlanError

STACKS = {"double": 6, "single": 12}


def test_plans_by_hand():
    case = by_hand("flux-tiny", STACKS, "double: 0-1 (2|3|4)x3 5")
    assert re.fullmatch(r"flux-tiny-double-plan-[0-9a-f]{8}", case.id)
    assert case.saving == pytest.approx(1 - 12 / 6)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("0-1 5", CaseError, "names no stack"),
        ("tripel: 0", CaseError, "no stack 'tripel'"),
        ("double: 0-9", PlanError, "block 9 is out of range"),
        ("double: 0-5", CaseError, "the identity is no ablation"),
    ],
)
def test_wrong_plans_by_hand_are_named(text, error, message):
    with pytest.raises(error, match=message):
        by_hand("flux-tiny", STACKS, text)


def test_slugs_keep_apart_what_they_simplify():
    assert slug("flux-tiny") == "flux-tiny"
    assert slug("black-forest-labs/FLUX.1-dev") != slug("black-forest-labs-FLUX.1-dev")
    assert re.fullmatch(r"[a-z0-9.-]+", slug("Ä b/c"))


NAMES = {"transformer_blocks": "double", "single_transformer_blocks": "single"}


def test_a_stack_may_be_called_as_diffusers_calls_it():
    by_ours = by_hand("flux-tiny", STACKS, "double: 0-1 (2|3|4)x3 5")
    assert by_hand("flux-tiny", STACKS, "transformer_blocks: 0-1 (2|3|4)x3 5", names=NAMES) == by_ours
    expected = (parse("0 2"), "single")
    assert over_stack("flux-tiny", STACKS, "single_transformer_blocks: 0 2", names=NAMES) == expected
    assert over_stack("flux-tiny", STACKS, "0 2", "single_transformer_blocks", names=NAMES) == expected
    assert over_stack("flux-tiny", STACKS, "single: 0 2", "single_transformer_blocks", names=NAMES) == expected
    with pytest.raises(PlanError, match="the plan names stack 'single', the call 'double'"):
        over_stack("flux-tiny", STACKS, "single: 0 2", "transformer_blocks", names=NAMES)


@pytest.mark.parametrize("text", ["skip", "double: skip", " parallel.t3 ", "single: shuffle.s1"])
def test_a_strategy_in_the_place_of_a_plan_is_told_from_one(text):
    name = text.split(":")[-1].strip()
    for read in (by_hand, over_stack):
        with pytest.raises(CaseError, match=f"'{name}' is a strategy, and a plan says which blocks run") as caught:
            read("flux-tiny", STACKS, text)
        assert f"sweep(lab, strategies='{name}', ranges='middle')" in str(caught.value)
        assert f"--dit-strategy {name} --dit-range middle" in str(caught.value)
    with pytest.raises(CaseError, match="'skip' is a strategy"):
        over_stack("sd3-tiny", {"joint": 12}, "skip")

"""Cases by hand, and names that fit ids."""

from __future__ import annotations

import re

import pytest

from harness.ablation.case import by_hand, slug
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

"""Candidates: plans by stack, equal where they run the same; a removal is one kind."""

from __future__ import annotations

import pytest

from harness.ablation.plan import parse
from harness.ablation.removals import Blocks
from harness.errors import PlanError
from harness.search.candidates import StackPlans, candidate_of, plans_of, text_of

BLOCKS = Blocks.alike({"double": 3, "single": 6})


def candidate(**plans):
    return candidate_of({stack: parse(text) for stack, text in plans.items()}, BLOCKS)


def test_plans_that_only_leave_blocks_out_are_a_removal():
    assert candidate(single="0 2-5", double="0 1") == frozenset({2, 4})
    assert candidate(single="-") == frozenset(range(3, 9))
    assert candidate(double="0 (2)") == frozenset({1})  # a group of one branch is none
    assert candidate(double="0-2") == candidate() == frozenset()


def test_other_plans_are_kept_in_the_order_of_the_model_without_what_changes_nothing():
    both = candidate(single="0 2 2 2 4 5", double="1 0 2")
    assert both == StackPlans((("double", parse("1 0 2")), ("single", parse("0 2 2 2 4 5"))))
    assert candidate(single="0 2 2 2 4 5", double="0-2") == StackPlans((("single", parse("0 2 2 2 4 5")),))
    assert candidate(single="0 (1)x2 2-5") == candidate(single="0 1 1 2-5")
    assert text_of(both, BLOCKS) == "double: 1 0 2; single: 0 2 2 2 4 5"
    assert plans_of(both, BLOCKS) == {"double": parse("1 0 2"), "single": parse("0 2 2 2 4 5")}
    assert text_of(frozenset({0}), BLOCKS) == "double: 1 2"


def test_what_the_model_lacks_is_refused():
    with pytest.raises(PlanError, match="block 3 is out of range"):
        candidate(double="0 1 3")
    with pytest.raises(ValueError, match="there is no stack 'joint'"):
        candidate(joint="0")

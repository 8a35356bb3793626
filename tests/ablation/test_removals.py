"""Removals: blocks numbered through the stacks, what they save, and the plans that they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.plan import parse
from harness.ablation.removals import Blocks, all_removals, mask_of, of_mask
from harness.errors import PlanError

BLOCKS = Blocks({"double": 3, "single": 4}, (2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0))


def test_a_removal_is_a_plan_of_each_stack_that_loses_blocks():
    assert BLOCKS.text({1}) == "double: 0 2"
    assert BLOCKS.text({0, 3, 6}) == "double: 1 2; single: 1 2"
    assert BLOCKS.text(()) == ""
    assert BLOCKS.plan({3, 4, 5, 6}) == {"single": parse("-")}
    assert BLOCKS.saved({0, 3, 6}) == 4.0
    assert BLOCKS.reaches({0, 3}, 3.0)
    assert not BLOCKS.reaches({0, 3}, 3.1)


@given(st.sets(st.integers(0, 6)))
def test_plans_run_what_is_not_left_out(removal):
    plan = BLOCKS.plan(removal)
    kept = [
        start + block
        for (stack, length), start in zip(BLOCKS.lengths.items(), (0, 3), strict=True)
        for block in (plan[stack].blocks() if stack in plan else range(length))
    ]
    assert set(kept) == set(range(7)) - removal
    assert of_mask(mask_of(removal)) == removal


def test_all_removals_come_once_the_smaller_first():
    found = list(all_removals(5))
    assert len(set(found)) == 32
    assert [len(removal) for removal in found] == sorted(len(removal) for removal in found)
    assert len(list(all_removals(5, most=2))) == 1 + 5 + 10
    with pytest.raises(PlanError, match="6 blocks can't be left out of 5"):
        list(all_removals(5, most=6))


@pytest.mark.parametrize("shares", [(1.0,) * 6, (0.0,) * 7, (-1.0,) * 7])
def test_every_block_has_a_share(shares):
    with pytest.raises(ValueError, match=r"shares for 7 blocks|not above 0"):
        Blocks(BLOCKS.lengths, shares)

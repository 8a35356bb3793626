"""Partial blocks: one text for one meaning, and which parts a stack has."""

import math

import pytest

from harness.ablation.block_parts import BlockPart, PartialBlock, StackParts, atom, suffix_of
from harness.ablation.plan import parse
from harness.errors import PlanError
from harness.models.spec import AURAFLOW, FLUX, SD3

ATTN, FF, TEXT, IMAGE = BlockPart


@pytest.mark.parametrize(
    ("parts", "factor", "text", "work"),
    [
        ({ATTN}, 1, "3.attn", 1 / 3),
        ({FF}, 1.0, "3.ff", 2 / 3),
        ({IMAGE, FF}, 0.5, "3.ff.image*0.5", 2 / 3),
        ({ATTN, FF}, 2, "3*2", 1),
        ({TEXT, IMAGE, ATTN}, 1, "3.attn", 1 / 3),
        ({TEXT}, 1, "3.text", 1),
        (set(), 0.0, "3*0", 0),
        (set(), -0.0, "3*0", 0),
        (set(), 0.0001, "3*0.0001", 1),
    ],
)
def test_text_and_work(parts, factor, text, work):
    block = PartialBlock(3, frozenset(parts), factor)
    assert str(block) == text
    assert parse(text).steps == (block,)
    assert block.work == pytest.approx(work)


def test_a_whole_one_is_no_partial_block():
    assert atom(PartialBlock(3)) == 3
    assert atom(PartialBlock(3, frozenset({ATTN, FF}))) == 3
    assert suffix_of(3) == ""


@pytest.mark.parametrize("factor", [-1, 101, math.nan, math.inf, 0.12345])
def test_factors_out_of_bounds_are_named(factor):
    with pytest.raises(PlanError, match="a factor"):
        PartialBlock(0, factor=factor)


@pytest.mark.parametrize(
    ("family", "stack", "text", "message"),
    [
        (
            FLUX,
            "single",
            "9.image",
            "nothing reads the text that the last block returns.*it has attn, ff, and a factor",
        ),
        (SD3, "joint", "9.text", "block 9 of stack 'joint' has no part 'text'.*it has attn, ff, and a factor"),
        (AURAFLOW, "double", "0.attn", "through the feed-forward alone.*leave the block out instead; it has ff, text"),
        (AURAFLOW, "single", "0 1.ff.text", "'1.ff.text': .*as one sequence; it has ff, and a factor"),
        (AURAFLOW, "single", "(0|1.image)", "no part 'image'"),
    ],
)
def test_a_part_that_a_stack_lacks_is_named_with_those_it_has(family, stack, text, message):
    with pytest.raises(PlanError, match=message):
        family.parts[stack].check(parse(text).named(), 10, stack)


def test_parts_that_a_stack_has_pass():
    FLUX.parts["double"].check(parse("0.attn 1.ff 2.text 3.image 4.attn.text*0.5 5*2").named(), 6, "double")
    SD3.parts["joint"].check(parse("0-4.image 5.ff").named(), 6, "joint")
    AURAFLOW.parts["double"].check(parse("0-4.ff 5.image").named(), 6, "double")
    StackParts().check(parse("0*0.5").named(), 1, "s")


def test_a_stack_of_which_nothing_is_known_has_a_factor_only():
    with pytest.raises(PlanError, match=r"only a factor can be set, as in '5\*0.5'"):
        StackParts().check(parse("0.attn").named(), 1, "s")

"""The plan language: it prints what it parses, and names what is wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.block_parts import BlockPart, PartialBlock
from harness.ablation.plan import Combine, Group, Plan, as_plan, block_runs, identity, parse, split_stack, without_block
from harness.errors import PlanError

indices = st.integers(0, 40)
partial = st.builds(
    PartialBlock,
    indices,
    st.frozensets(st.sampled_from(BlockPart), max_size=2),
    st.just(1.0) | st.integers(0, 1_000_000).map(lambda number: number / 10_000),
)
atoms = indices | partial
branches = st.lists(atoms, min_size=1, max_size=4).map(tuple)
groups = st.builds(
    Group,
    st.lists(branches, min_size=1, max_size=4).map(tuple),
    st.sampled_from(Combine),
    st.integers(1, 5),
)
ATTN = frozenset({BlockPart.ATTENTION})
plans = st.lists(atoms | groups, max_size=12).map(lambda steps: Plan(tuple(steps)))


@given(plans)
def test_parse_reads_what_format_prints(plan):
    assert parse(str(plan)) == plan


@given(plans)
def test_its_runs_are_the_blocks_that_it_runs(plan):
    assert plan.runs == sum(map(block_runs, plan.steps)) == len(list(plan.blocks()))


def test_all_blocks_but_one():
    assert without_block(4, 1) == parse("0 2 3")
    assert without_block(1, 0) == parse("-")


@given(st.text(alphabet="0123456789 ()|+~x-.*atnfext", max_size=30))
def test_any_text_parses_or_is_named(text):
    try:
        plan = parse(text, length=12, stack="double")
    except PlanError:
        with pytest.raises(PlanError, match=r"'double' of 12 blocks \(0-11\): .* at column \d+"):
            parse(text, length=12, stack="double")
    else:
        assert parse(str(plan)) == plan


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("0-3 8-11", [0, 1, 2, 3, 8, 9, 10, 11]),
        ("0 3-1 4", [0, 3, 2, 1, 4]),
        ("0 (1|2)x2 3", [0, 1, 2, 1, 2, 3]),
        ("(1 2|3)~", [1, 2, 3]),
        ("-", []),
        ("0 3-1.attn 4*0.5", [0, 3, 2, 1, 4]),
        ("0 1*0 (2*0|3.ff)x2", [0, 3, 3]),
    ],
)
def test_blocks_in_order_of_execution(text, blocks):
    assert list(parse(text).blocks()) == blocks


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-3 19", r"stack 'double' of 19 blocks \(0-18\): block 19 is out of range at column 5"),
        ("0 5-40", "block 40 is out of range at column 5"),
        ("0 a 2", "does not understand 'a' at column 3"),
        ("0 (1|", r"a '\(' that is never closed at column 3"),
        ("0 (1||2)", "an empty branch at column 6"),
        ("0 )", r"'\)' without '\(' at column 3"),
        ("0 x3", "'x3' without a group before it at column 3"),
        ("(1|2)x0", "a group runs at least once: 'x0' at column 6"),
        ("(1 x2)", "'x2' inside a group at column 4"),
        ("0 5.mlp", "a block has no part 'mlp'; the parts are attn, ff, text, image at column 4"),
        ("0 5.Attn", "does not understand '.Attn' at column 4"),
        ("0 5 .attn", "does not understand '.attn' at column 5"),
        ("0 5*", r"does not understand '\*' at column 4"),
        ("0 5*0.12345", "a factor is from 0 to 100 and has at most 4 decimals, not '0.12345' at column 4"),
        (
            "0 5*1000",
            "a factor is from 0 to 100 and has at most 4 decimals, not '1000' at column 4",
        ),
        ("0 5-19.attn", "block 19 is out of range at column 5"),
        ("", "no step .* at column 1"),
    ],
)
def test_errors_name_token_column_and_stack(text, message):
    with pytest.raises(PlanError, match=message):
        parse(text, length=19, stack="double")


def test_identity_and_normal_form():
    assert identity(4).is_identity(4)
    assert parse("0 (1) (2 3)").is_identity(4)
    assert parse("0 (1)x2 2").normal() == parse("0 1 1 2")
    assert not parse("0 (1|1) 2").is_identity(3)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan((0, 5)), r"plan '0 5' over stack 's' of 5 blocks \(0-4\): block 5 is out of range"),
        (Plan((-1,)), "block -1 is out of range"),
        (Plan((0, Group(((1, 2), (3, 9)), loops=10**4))), "block 9 is out of range"),
        (Plan((np.int64(7),)), "block 7 is out of range"),
    ],
)
def test_a_plan_built_by_hand_is_checked(plan, message):
    with pytest.raises(PlanError, match=message):
        plan.check(5, "s")
    with pytest.raises(PlanError, match=message):
        as_plan(plan, 5, "s")


@given(plans)
def test_a_plan_that_was_printed_and_parsed_is_the_plan_that_was_checked(plan):
    # Blocks that a factor of 0 leaves out are named, too.
    named = (atom.index if isinstance(atom, PartialBlock) else atom for atom in plan.named())
    length = 1 + max(named, default=0)
    plan.check(length)
    assert as_plan(plan, length, "s") == as_plan(str(plan), length, "s") == plan
    with pytest.raises(PlanError, match="out of range"):
        as_plan(Plan((*plan.steps, length)), length, "s")


def test_numpys_whole_numbers_are_block_numbers():
    plan = Plan((*np.arange(2), Group((tuple(np.arange(2, 4)), (np.uint8(1),)))))
    assert plan == parse("0 1 (2 3|1)")
    assert all(type(block) is int for block in plan.blocks())


@pytest.mark.parametrize("step", ["0", 1.0, None, True, (1, 2)])
def test_a_step_is_a_whole_number_or_a_group(step):
    with pytest.raises(PlanError, match="is no block number"):
        Plan((step,))
    with pytest.raises(PlanError, match="is no block number"):
        Group(((step,),))


def test_a_plan_may_name_its_stack():
    assert split_stack("double: 0-3 8") == ("double", "0-3 8")
    assert split_stack(" double :0", "double") == ("double", "0")
    assert split_stack("0-3 8") == (None, "0-3 8")
    assert split_stack("0", "single") == ("single", "0")
    assert split_stack(parse("0 1"), "single") == ("single", parse("0 1"))
    with pytest.raises(PlanError, match="the plan names stack 'double', the call 'single'"):
        split_stack("double: 0", "single")


@pytest.mark.parametrize(
    "text",
    [
        "(0)x999999999",
        "0 (1|2)x999999 4",
        "0 (1|2)x99999 4",
        "0-99999999999",
        "0-999999",
        "9" * 5000,
        f"(0)x{'9' * 5000}",
        "0-9 " * 20_000,
        "2\u0663-4",
        "\u0660",
        "0\u20031",
    ],
    ids=lambda text: f"{text[:20]}...",
)
@pytest.mark.parametrize("length", [None, 5, 10**9])
def test_what_would_expand_without_end_or_is_not_in_the_grammar_is_refused(text, length):
    with pytest.raises(PlanError) as caught:
        parse(text, length=length)
    assert len(str(caught.value)) < 500


def test_a_plan_built_by_hand_is_as_bounded():
    assert sum(1 for _ in Plan((Group(((0, 1),), loops=50_000),)).blocks()) == 100_000
    for steps in ((0, Group(((0, 1),), loops=50_000)), tuple(range(100_001))):
        with pytest.raises(PlanError, match="runs at most 100,000 blocks"):
            Plan(steps)
    with pytest.raises(PlanError, match="runs at most 100,000 blocks"):
        Group(((0,),), loops=10**9)


def test_parts_and_factors_of_ranges_are_those_of_their_blocks():
    assert parse("4-6.attn") == parse("4.attn 5.attn 6.attn") == Plan(tuple(PartialBlock(i, ATTN) for i in (4, 5, 6)))
    assert (
        str(parse("0.attn 1.attn 2.attn 3 4 5 6*0.5 7*0.5 8*0.50 9.image.ff*2")) == "0-2.attn 3-5 6-8*0.5 9.ff.image*2"
    )
    assert str(parse("(0-2.ff|3*0.25 4)~")) == "(0-2.ff|3*0.25 4)~"


def test_a_block_that_is_whole_is_its_index():
    assert parse("0*1 1.attn.ff 2.text.image 3.ff.attn.image.text*1.0").is_identity(4)
    assert parse("0*0 1 (2*0)x3").normal() == parse("1")
    assert not parse("0.attn 1").is_identity(2)
    assert parse("0.text").is_partial
    assert not parse("0 (1|2)").is_partial


@given(plans)
def test_its_work_is_its_runs_where_all_blocks_are_whole_and_never_more(plan):
    assert plan.work <= plan.runs
    if not plan.is_partial:
        assert plan.work == plan.runs
        assert isinstance(plan.work, int)  # so that savings are what they were, to the bit


def test_work_by_hand():
    assert parse("0 1.attn").work == pytest.approx(4 / 3)
    assert parse("0 1.ff.text").work == pytest.approx(5 / 3)
    assert parse("0.text 1.image 2*0.5 3*0").work == 3
    assert parse("(0.attn|1)x3").work == pytest.approx(4)


def test_what_stands_in_a_plan_is_bounded_even_where_it_does_not_run():
    with pytest.raises(PlanError, match="at most 100,000 blocks"):
        parse("(0*0)x999999")

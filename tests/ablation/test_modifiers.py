"""Modifiers in ids: written and read back, alone and on a plan, and refused by name."""

from __future__ import annotations

import pytest

from harness.ablation.case import by_hand, modified, modifiers_alone
from harness.ablation.grid import Ask, expand, from_id, in_part, with_modifiers
from harness.ablation.modifiers import in_order, read_modifier, read_modifiers
from harness.ablation.ranges import Span
from harness.errors import CaseError
from harness.lab.cost import share

STACKS = {"double": 5, "single": 10}


@pytest.mark.parametrize(
    "text",
    [
        "fewer-steps.3",
        "single-L02-07-reuse.n2",
        "single-L02-reuse.n2-steps-1-3",
        "single-L02-07-reuse.n2+fewer-steps.3",
    ],
)
def test_what_is_written_is_read_back(text):
    assert "+".join(map(str, read_modifiers(text))) == text


def test_a_range_a_window_and_parameters_are_read():
    placed = read_modifier("single-L02-07-reuse.n2-steps-1-3")
    assert (placed.stack, placed.span, placed.window, placed.parameters) == ("single", Span(2, 7), (1, 3), {"n": 2})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("faster", "unknown modifier 'faster' (did you mean 'faster-cache'?); there are reuse, fewer-steps"),
        ("reuse", "modifier 'reuse' lacks n; it takes nN (one step of so many is computed, 1 to 9999)"),
        ("fewer-steps", "modifier 'fewer-steps' lacks a number"),
        ("fewer-steps.0", "'0' (denoising steps) is from 1 to 1000"),
        ("reuse.x2", "modifier 'reuse' has no parameter 'x2' in 'reuse.x2'; it takes nN"),
        ("reuse.n2.n3", "has no parameter 'n3'"),
        ("single-L02-fewer-steps.3", "changes the whole model; leave out the range of 'single-L02-fewer-steps.3'"),
        ("single-L07-02-reuse.n2", "a range runs from a lower to a higher block"),
    ],
)
def test_wrong_text_is_named(text, message):
    with pytest.raises(CaseError) as caught:
        read_modifier(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reuse.n2", "needs a range of blocks; write it like 'double-L00-04-reuse.n2'"),
        ("other-L02-reuse.n2", "has no such stack; it has double (5 blocks), single (10 blocks)"),
        ("double-L02-07-reuse.n2", "stack 'double' has 5 blocks (0-4)"),
        ("single-L02-reuse.n2-steps-3-4", "window 3-4 goes beyond the 4 denoising steps of checkpoint 'm' (0-3)"),
        ("fewer-steps.2-steps-0-1", "modifier 'fewer-steps' changes the whole run and can't hold in some steps"),
        ("fewer-steps.4", "'fewer-steps.4' asks for no change of checkpoint 'm', which takes 4 denoising steps"),
        ("single-L02-reuse.n1", "asks for no change"),
        ("fewer-steps.2+fewer-steps.3", "modifier 'fewer-steps' is there twice"),
    ],
)
def test_what_a_checkpoint_lacks_is_named(text, message):
    with pytest.raises(CaseError) as caught:
        modifiers_alone("m", STACKS, read_modifiers(text), steps=4)
    assert message in str(caught.value)


def test_a_modifier_alone_is_a_case_of_its_range_or_of_the_whole_model():
    ranged = modifiers_alone("m-1", STACKS, read_modifiers("single-L02-07-reuse.n2"), words=("middle",), steps=4)
    assert (ranged.id, ranged.stack_name, ranged.place) == ("m-1-single-L02-07-reuse.n2", "single", "L02-07")
    assert (ranged.label, ranged.plan_text, ranged.words) == ("reuse.n2", "", ("middle", "modifier", "reuse"))
    whole = modifiers_alone("m-1", STACKS, read_modifiers("fewer-steps.3"), steps=4)
    assert (whole.id, whole.stack_name, whole.place, whole.label) == ("m-1-fewer-steps.3", "", "", "fewer-steps.3")
    assert not whole.written_by_hand
    assert whole.plan.is_identity(whole.length)
    assert share(whole, STACKS) == pytest.approx(3 / 4)
    assert share(ranged, STACKS) == pytest.approx(1 - 6 / 15 / 2)


def test_a_modifier_on_a_plan_multiplies_what_both_save():
    case = expand("m", STACKS, [Ask(("double",), ("1",), ("skip",), ("fewer-steps.3",))], steps=4)[0]
    assert case.id == "m-double-L01-skip+fewer-steps.3"
    assert case.label == "skip+fewer-steps.3"
    assert case.change == "the plan '0 2-4' and the modifier 'fewer-steps.3'"
    assert share(case, STACKS) == pytest.approx(14 / 15 * 3 / 4)


def test_modifiers_have_one_order():
    several = read_modifiers("fewer-steps.3+single-L02-reuse.n2")
    assert [str(m) for m in in_order(several)] == ["single-L02-reuse.n2", "fewer-steps.3"]


GRID = [
    Ask(("double", "single"), ("middle", "1"), ("skip",), ("fewer-steps.3", "single-L02-07-reuse.n2+fewer-steps.2")),
    Ask(("double", "single"), ("middle", "first"), (), ("reuse.n2", "reuse.n3+fewer-steps.3", "fewer-steps.1")),
    Ask(("single",), ("middle",), ("shuffle.s0",)),
]


def test_a_grid_puts_modifiers_on_plans_and_on_ranges_and_ids_are_read_back():
    cases = expand("m-1", STACKS, GRID, steps=4)
    ids = [case.id for case in cases]
    assert len(ids) == len(set(ids)) == 2 * 2 * 2 + 2 * 2 * 2 + 1 + 1
    assert "m-1-single-L02-07-reuse.n3+fewer-steps.3" in ids
    assert ids.count("m-1-fewer-steps.1") == 1  # it has no range, so there is one of it
    assert ids[0] == "m-1-single-L02-07-shuffle.s0"  # plans alone first
    for case in cases:
        again = from_id("m-1", STACKS, case.id, steps=4)
        assert (again.id, again.plan, again.modifiers) == (case.id, case.plan, case.modifiers)
        assert share(again, STACKS) == share(case, STACKS)
    for wrong in ("m-1-fewer-steps", "m-1-double-L01-fewer-steps.3", "m-fewer-steps.3", "m-1-reuse.n2"):
        with pytest.raises(CaseError):
            from_id("m-1", STACKS, wrong)


def test_modifiers_alone_hold_in_windows_and_those_on_a_plan_have_their_own():
    (case,) = expand("m", STACKS, [Ask(("double",), ("1-2",), (), ("reuse.n2",))], windows=[(1, 2)], steps=4)
    assert case.id == "m-double-L01-02-reuse.n2-steps-1-2"
    assert from_id("m", STACKS, case.id).modifiers == case.modifiers
    skip = by_hand("m", STACKS, "double: 0 2-4")
    own = modified(skip, read_modifiers("single-L02-reuse.n2-steps-0-1"), STACKS, 4)
    assert own.id == f"{skip.id}+single-L02-reuse.n2-steps-0-1"
    assert own.written_by_hand
    with pytest.raises(CaseError, match="a plan with modifiers holds in all denoising steps"):
        in_part(own, [(0, 1)], 4)
    with pytest.raises(CaseError, match="a plan that holds in a window of steps takes no modifiers"):
        with_modifiers(in_part(skip, [(0, 1)], 4)[0], [read_modifiers("fewer-steps.3")], STACKS, 4)
    with pytest.raises(CaseError, match="has a window of steps of its own"):
        in_part(case, [(0, 1)], 4)


def test_an_ask_of_anything_but_texts_is_named():
    with pytest.raises(CaseError, match=r"modifiers is 'fewer-steps.3', and is written like \(\"fewer-steps.3\",\)"):
        expand("m", STACKS, [Ask(("double",), ("middle",), (), "fewer-steps.3")])

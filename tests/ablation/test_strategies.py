"""Strategies give the plans of the paper; ids and ranges are stable."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.case import by_hand, slug
from harness.ablation.grid import Ask, expand
from harness.ablation.plan import parse
from harness.ablation.ranges import Span, spans
from harness.ablation.strategies import STRATEGIES, choose
from harness.errors import CaseError, PlanError

STACKS = {"double": 6, "single": 12}


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("skip", "0-3 8-18"),
        ("repeat", "0-3 5 5 5 5 8-18"),
        ("reverse", "0-3 7 6 5 4 8-18"),
        ("swap", "0-3 5 4 7 6 8-18"),
        ("parallel", "0-3 (4|5|6|7) 8-18"),
        ("parallel.t3", "0-3 (4|5|6|7)x3 8-18"),
        ("parallel-sum", "0-3 (4|5|6|7)+ 8-18"),
        ("parallel-root", "0-3 (4|5|6|7)~ 8-18"),
    ],
)
def test_plans(name, plan):
    assert choose(name).plan(19, Span(4, 7)) == parse(plan)


def test_centre_of_an_even_range_is_the_lower_middle():
    assert Span(4, 7).centre == 5
    assert Span(4, 8).centre == 6


def test_swap_leaves_a_last_odd_block():
    assert choose("swap").plan(5, Span(0, 4)) == parse("1 0 3 2 4")


@given(st.integers(2, 12), st.integers(0, 50), st.integers(0, 4))
def test_shuffle_is_a_permutation_far_from_the_identity(size, seed, start):
    span = Span(start, start + size - 1)
    blocks = choose(f"shuffle.s{seed}").plan(start + size, span).steps[start:]
    assert sorted(blocks) == list(span.blocks)
    displaced = sum(abs(place - block) for place, block in zip(span.blocks, blocks, strict=True))
    assert displaced / size >= (size * size - 1) / (3 * size)


def test_shuffle_is_the_same_everywhere():
    # Ids and baselines rest on these permutations: they must never change.
    found = [str(choose(f"shuffle.s{s}").plan(12, Span(3, 8))) for s in range(3)]
    assert found == ["0-2 5-7 3 8 4 9-11", "0-2 7 6 4 3 5 8-11", "0-2 5 7 4 6 8 3 9-11"]


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"skip"}))
def test_one_block_is_too_few(name):
    with pytest.raises(CaseError, match="needs at least 2"):
        choose(name).plan(6, Span(3, 3))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_skip_alone_shortens(name):
    plan = choose(name).plan(8, Span(2, 5))
    assert sum(1 for _ in plan.blocks()) == (4 if name == "skip" else 8)


def test_reverse_of_reverse_is_identity():
    plan = choose("reverse").plan(8, Span(2, 5))
    order = list(plan.blocks())
    assert [order[i] for i in order] == list(range(8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skp", "unknown strategy 'skp'; there are skip, repeat"),
        ("parallel.q3", r"no parameter 'q3' in 'parallel.q3'; it takes tN \(loops\)"),
        ("skip.t2", "it takes none"),
        ("parallel.t", "no parameter 't'"),
    ],
)
def test_unknown_strategies_are_named(text, message):
    with pytest.raises(CaseError, match=message):
        choose(text)


@pytest.mark.parametrize(("length", "first", "last"), [(4, 1, 2), (5, 1, 3), (6, 1, 4), (12, 3, 8), (19, 4, 14)])
def test_the_middle_is_the_central_half(length, first, last):
    assert spans("middle", length)[0][0] == Span(first, last)


@given(st.integers(2, 60))
def test_first_middle_last_tile_a_stack(length):
    parts = [span for name in ("first", "middle", "last") for span, _ in spans(name, length)]
    assert [i for span in parts for i in span.blocks] == list(range(length))


@given(st.integers(2, 60))
def test_halves_tile_the_middle(length):
    middle = spans("middle", length)[0][0]
    halves = [span for name in ("middle-lower", "middle-upper") for span, _ in spans(name, length)]
    assert [i for span in halves for i in span.blocks] == (list(middle.blocks) if len(middle) >= 4 else [])


def test_equal_plans_are_one_case_and_the_identity_is_none():
    cases = expand("m", {"s": 4}, [Ask(("s",), ("middle", "first"), tuple(STRATEGIES))])
    ids = [case.id for case in cases]
    # In a range of two, reverse, shuffle and swap are the same plan; in one block nothing but skip is left.
    assert "m-s-L01-02-reverse" in ids
    assert not any("swap" in i or "shuffle" in i for i in ids)
    assert [i for i in ids if "-L00-" in i] == ["m-s-L00-skip"]
    assert len(set(ids)) == len(ids)


def test_ids_are_safe_in_file_names_and_k():
    asks = [Ask(tuple(STACKS), ("each",), ("skip",)), Ask(tuple(STACKS), ("middle",), ("skip", "shuffle.s2"))]
    cases = expand("flux-tiny", STACKS, asks)
    for case in cases:
        assert re.fullmatch(r"[a-zL0-9.-]+", case.id)
    assert cases[-1].id == "flux-tiny-single-L03-08-shuffle.s2"


def test_words_for_k():
    case = expand("m", STACKS, [Ask(("single",), ("middle",), ("parallel.t3",))])[0]
    assert case.words == ("middle", "looped")


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (Ask(("tripel",), ("middle",), ("skip",)), r"no stack 'tripel'; it has double \(6 blocks\), single \(12"),
        (Ask(("double",), ("centre",), ("skip",)), "unknown range 'centre' for stack 'double'; write a block"),
        (Ask(("double",), ("4-7",), ("skip",)), r"range '4-7' for stack 'double' doesn't fit its 6 blocks \(0-5\)"),
        (Ask(("double",), ("3-2",), ("skip",)), "doesn't fit"),
        (Ask(("double",), ("3",), ("reverse",)), "changes nothing on range 3, which has one block"),
        (Ask(("double",), ("each",), ("shuffle.s0",)), "which has one block"),
    ],
)
def test_what_makes_no_case_is_named(ask, message):
    with pytest.raises(CaseError, match=message):
        expand("flux-tiny", STACKS, [ask])


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

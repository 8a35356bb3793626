"""From what is asked for to cases: ids are stable and read back, and what makes no case is named."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.case import by_hand
from harness.ablation.grid import Ask, expand, from_id, in_part
from harness.ablation.strategies import STRATEGIES
from harness.errors import CaseError
from harness.models.spec import AURAFLOW, SD3

STACKS = {"double": 6, "single": 12}
WITH_ONE_BLOCK = [name for name, strategy in STRATEGIES.items() if strategy.least == 1]


def test_equal_plans_are_one_case_and_the_identity_is_none():
    cases = expand("m", {"s": 4}, [Ask(("s",), ("middle", "first"), tuple(STRATEGIES))])
    ids = [case.id for case in cases]
    # In a range of two, reverse, shuffle and swap are the same plan; one block has skip, its parts and scale left.
    assert "m-s-L01-02-reverse" in ids
    assert not any("swap" in i or "shuffle" in i for i in ids)
    assert [i for i in ids if "-L00-" in i] == [f"m-s-L00-{s}" for s in WITH_ONE_BLOCK]
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


SPANS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))


@given(SPANS, st.sampled_from(["skip", "shuffle.s2", "parallel.t3"]), st.sampled_from(["each", "middle", "2-4"]))
def test_ids_read_back(window, strategy, depth):
    if depth == "each":
        strategy = "skip"
    asks = [Ask(("double",), (depth,), (strategy,))]
    for case in expand("flux-tiny", STACKS, asks, windows=[window], steps=40):
        assert re.fullmatch(r"[a-zL0-9.-]+", case.id)
        again = from_id("flux-tiny", STACKS, case.id)
        assert (again.id, again.plan, again.window) == (case.id, case.plan, window)


@pytest.mark.parametrize("ending", ["-steps-3-1", "-steps-00-1", "-steps-1-1", "-steps-", "-steps-0-1-steps-2"])
def test_what_is_no_id_is_refused(ending):
    with pytest.raises(CaseError):
        from_id("m", STACKS, f"m-double-L01-04-skip{ending}")


def test_each_window_makes_its_own_cases():
    asks = [Ask(("double",), ("middle", "1-4"), ("skip", "reverse")), Ask(("double",), ("3",), ("skip",))]
    cases = expand("m", STACKS, asks, windows=[(0, 1), (3, 3), (0, 1), (0, 3)], steps=4)
    assert [case.id.removeprefix("m-double-") for case in cases] == [
        *("L03-skip-steps-0-1", "L03-skip-steps-3", "L03-skip"),
        *("L01-04-skip-steps-0-1", "L01-04-skip-steps-3", "L01-04-skip"),
        *("L01-04-reverse-steps-0-1", "L01-04-reverse-steps-3", "L01-04-reverse"),
    ]
    assert [case.words for case in cases[3:6]] == [("middle", "window"), ("middle", "window"), ("middle",)]


def test_without_windows_cases_are_what_they_were():
    (case,) = expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], steps=4)
    assert (case.id, case.window, case.words) == ("m-double-L01-04-skip", None, ("middle",))


def test_a_window_beyond_the_last_step_is_named():
    with pytest.raises(CaseError, match="window 2-4 goes beyond the 4 denoising steps of checkpoint 'm'"):
        expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], windows=[(2, 4)], steps=4)


def test_plans_by_hand_have_windows_too():
    whole = by_hand("m", STACKS, "double: 0-1 4-5")
    (part,) = in_part(whole, [(1, 1)], 4)
    assert part.id == f"{whole.id}-steps-1"
    assert part.words == ("by-hand", "window")


def test_ids_of_a_grid_read_back():
    stacks = {"double": 5, "single": 10}
    every = expand("m-1", stacks, [Ask(tuple(stacks), ("each", "middle"), ("skip",))])
    every += expand("m-1", stacks, [Ask(tuple(stacks), ("middle",), ("shuffle.s1", "parallel.t3", "parallel-sum"))])
    for case in every:
        again = from_id("m-1", stacks, case.id)
        assert (again.id, again.plan, again.stack) == (case.id, case.plan, case.stack)
    for wrong in ("m-1-double-L09-skip", "m-1-triple-L01-skip", "other-double-L01-skip", "m-1-double-plan-12345678"):
        with pytest.raises(CaseError):
            from_id("m-1", stacks, wrong)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (Ask(1, 2, 3), r"Ask takes tuples of texts: stacks is 1, and is written like \(\"double\",\)"),
        (Ask(None, None, None), "stacks is None, and is written like"),
        (Ask(("double",), (3,), ("skip",)), r"ranges is \(3,\), and is written like"),
        (Ask(("double",), ("3",), (None,)), r"strategies is \(None,\), and is written like"),
        (Ask("double", ("middle",), ("skip",)), "stacks is 'double', and is written like"),
        (Ask(("double",), ("middle",), "skip" * 5000), "strategies is 'skip.*skip', and is written like"),
        (Ask(("double",), {"middle"}, ("skip",)), "ranges is {'middle'}, and is written like"),
    ],
)
def test_an_ask_of_anything_but_texts_is_one_line(ask, message):
    with pytest.raises(CaseError, match=message) as caught:
        expand("flux-tiny", STACKS, [ask])
    assert len(str(caught.value)) < 200


def test_lists_of_texts_are_as_good_as_tuples():
    assert expand("m", STACKS, [Ask(["double"], ["middle"], ["skip"])]) == expand(
        "m", STACKS, [Ask(("double",), ("middle",), ("skip",))]
    )


def test_stacks_by_other_names_are_ours_once():
    ask = Ask(("double", "transformer_blocks", "other"), ("middle",), ("skip",))
    assert ask.renamed({"transformer_blocks": "double"}) == Ask(("double", "other"), ("middle",), ("skip",))


PARTS = AURAFLOW.parts


def test_a_strategy_makes_no_case_where_a_stack_lacks_its_part():
    cases = expand("m", STACKS, [Ask(("double", "single"), ("middle",), ("skip-text", "skip-attn"))], parts=PARTS)
    assert [case.id for case in cases] == [
        "m-double-L01-04-skip-text",
        "m-double-L01-04-skip-attn",
        "m-single-L03-08-skip-attn",
    ]
    last = expand("m", {"joint": 4}, [Ask(("joint",), ("each",), ("skip-image",))], parts=SD3.parts)
    assert [case.place for case in last] == ["L00", "L01", "L02"]


@pytest.mark.parametrize(
    ("stacks", "strategy", "message"),
    [
        (("single",), "skip-text", "'skip-text' makes no case of checkpoint 'm': .* as one sequence; it has ff"),
        (("double", "single"), "skip-ff", "'skip-ff' makes no case .* leave the block out instead"),
    ],
)
def test_a_strategy_whose_part_no_stack_has_is_named(stacks, strategy, message):
    with pytest.raises(CaseError, match=message):
        expand("m", STACKS, [Ask(stacks, ("middle",), (strategy,))], parts=PARTS)


@pytest.mark.parametrize("strategy", ["skip-attn", "scale.f50", "skip-text"])
def test_a_part_is_read_back_from_its_id(strategy):
    (case,) = expand("m", STACKS, [Ask(("double",), ("1-2",), (strategy,))], windows=[(0, 1)], steps=4)
    assert case.id == f"m-double-L01-02-{strategy}-steps-0-1"
    assert from_id("m", STACKS, case.id).plan == case.plan


def test_the_saving_of_a_part():
    saved = {
        case.strategy: case.saving
        for case in expand("m", {"s": 6}, [Ask(("s",), ("1-3",), ("skip", "skip-attn", "skip-ff", "scale.f50"))])
    }
    assert saved == pytest.approx({"skip": 0.5, "skip-attn": 1 / 6, "skip-ff": 1 / 3, "scale.f50": 0})

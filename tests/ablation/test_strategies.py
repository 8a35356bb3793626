"""Strategies give the plans of the paper; ids and ranges are stable."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.ablation.strategies import PART_STRATEGIES, STRATEGIES, choose
from harness.errors import CaseError


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
        ("skip-attn", "0-3 4-7.ff 8-18"),
        ("skip-ff", "0-3 4-7.attn 8-18"),
        ("skip-text", "0-3 4-7.image 8-18"),
        ("skip-image", "0-3 4-7.text 8-18"),
        ("scale", "0-3 4-7*0.5 8-18"),
        ("scale.f125", "0-3 4-7*1.25 8-18"),
    ],
)
def test_plans(name, plan):
    assert choose(name).plan(19, Span(4, 7)) == parse(plan)


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


def test_random_order_is_any_permutation_but_the_identity():
    plans = [choose(f"random.s{seed}").plan(6, Span(1, 4)).steps[1:5] for seed in range(1500)]
    counts = Counter(plans)
    assert set(counts) == set(permutations(range(1, 5))) - {(1, 2, 3, 4)}
    assert 30 < min(counts.values()) <= max(counts.values()) < 105  # 65 expected of each, 5 standard deviations off
    shuffled = {choose(f"shuffle.s{seed}").plan(6, Span(1, 4)).steps[1:5] for seed in range(500)}
    assert (2, 1, 3, 4) in counts  # a swap of neighbours, which shuffle rejects as too near to the identity
    assert (2, 1, 3, 4) not in shuffled
    assert choose("random").plan(2, Span(0, 1)) == parse("1 0")


def test_random_order_is_the_same_everywhere():
    # Like shuffle's, these permutations must never change.
    found = [str(choose(f"random.s{s}").plan(12, Span(3, 8))) for s in range(3)]
    assert found == ["0-3 6 5 8 4 7 9-11", "0-2 6 8 7 5 4 3 9-11", "0-2 7 3 5 6 8 4 9-11"]


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"skip", "scale", *PART_STRATEGIES}))
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
        ("skp", r"unknown strategy 'skp' \(did you mean 'skip'\?\); there are skip, repeat"),
        ("parallel.q3", r"no parameter 'q3' in 'parallel.q3'; it takes tN \(loops\)"),
        ("skip.t2", "it takes none"),
        ("parallel.t", "no parameter 't'"),
    ],
)
def test_unknown_strategies_are_named(text, message):
    with pytest.raises(CaseError, match=message):
        choose(text)


def test_scale_ends_in_skip_and_in_the_model():
    assert choose("scale.f0").plan(8, Span(2, 5)).normal() == choose("skip").plan(8, Span(2, 5))
    assert choose("scale.f100").plan(8, Span(2, 5)).is_identity(8)

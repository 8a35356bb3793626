"""Steps are placed on slots by one rule."""

from __future__ import annotations

from itertools import combinations_with_replacement, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.ablation.alignment import align
from harness.ablation.plan import Plan, parse


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("0 1 4 5", [(0,), (1,), (), (), (4,), (5,)]),  # skip leaves its own slots empty
        ("0 4-1 5", [(0,), (4,), (3,), (2,), (1,), (5,)]),  # reverse fills each
        ("0 2 2 2 2 5", [(0,), (2,), (2,), (2,), (2,), (5,)]),
        ("0 2 4", [(0,), (), (2,), (), (4,), ()]),  # two skips at once
        ("0-2 2 3-5", [(0,), (1,), (2, 2), (3,), (4,), (5,)]),  # one more than there are slots
        ("-", [()] * 6),
    ],
)
def test_alignment(text, slots):
    assert list(align(parse(text), 6)) == slots


def test_group_stands_at_its_first_block():
    plan = parse("0 (1|2|3)x2 4 5")
    assert [len(slot) for slot in align(plan, 6)] == [1, 1, 0, 0, 1, 1]


def brute_force(plan, length):
    """The documented rule by trying every non-decreasing assignment: a slow reference."""
    homes = [s if isinstance(s, int) else s.branches[0][0] for s in plan.steps]

    def cost(places):
        shared = sum(a == b for a, b in pairwise(places))
        return shared, sum(abs(p - h) for p, h in zip(places, homes, strict=True))

    return min(cost(p) for p in combinations_with_replacement(range(length), len(homes)))


@settings(max_examples=60)
@given(st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=6))))
def test_alignment_agrees_with_brute_force(drawn):
    length, steps = drawn
    plan = Plan(tuple(steps))
    slots = align(plan, length)
    assert [step for slot in slots for step in slot] == steps
    places = [i for i, slot in enumerate(slots) for _ in slot]
    shared = sum(a == b for a, b in pairwise(places))
    distance = sum(abs(p - s) for p, s in zip(places, steps, strict=True))
    assert (shared, distance) == brute_force(plan, length)

"""The declared modifiers: names that fit ids, implementations that exist, and costs by hand."""

from __future__ import annotations

import pytest

from harness.ablation.modifier import Reach
from harness.ablation.modifier_table import MODIFIERS
from harness.ablation.modifiers import read_modifier
from harness.ablation.strategies import STRATEGIES
from harness.extensions import NAME
from harness.modifiers.base import ModifierRun, implementation
from tests.helpers.modifiers import example

STACKS = {"double": 4, "single": 12}


def test_names_fit_ids_and_are_no_strategies():
    assert all(NAME.fullmatch(name) == NAME.fullmatch(m.name) or name == m.name for name, m in MODIFIERS.items())
    assert not MODIFIERS.keys() & STRATEGIES.keys()


@pytest.mark.parametrize("name", MODIFIERS)
def test_each_has_a_summary_and_a_class_that_does_it(name):
    modifier = MODIFIERS[name]
    assert modifier.summary
    assert modifier.summary[0].islower()
    placed = read_modifier(example(name))
    assert issubclass(implementation(placed), ModifierRun)
    assert (placed.span is not None) == (modifier.reach is Reach.RANGE)
    assert str(placed) == example(name)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("fewer-steps.3", 3 / 8),
        ("single-L00-11-reuse.n2", 1 - 12 / 16 * 4 / 8),
        ("single-L00-11-reuse.n3", 1 - 12 / 16 * 5 / 8),  # steps 0, 3 and 6 are computed
        ("single-L02-reuse.n8", 1 - 1 / 16 * 7 / 8),
        ("single-L00-11-reuse.n2-steps-4-7", 1 - 12 / 16 * 2 / 8),
        ("double-L00-03-reuse.n1", 1.0),
    ],
)
def test_costs_by_hand(text, cost):
    assert read_modifier(text).cost(STACKS, 8) == pytest.approx(cost)
    assert read_modifier(text).cost(STACKS, 0) == 1.0  # where the steps aren't known

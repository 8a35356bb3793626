"""What implementations are given, and what is wrong with another package's."""

from __future__ import annotations

import pytest

from harness.ablation import modifiers
from harness.ablation.modifier_table import MODIFIERS
from harness.ablation.modifiers import read_modifier
from harness.errors import CaseError, ExtensionError
from harness.modifiers.base import Calibrations, Target, implementation
from harness.modifiers.reuse import ResidualReuse
from tests.helpers.samplers import PROMPTS, sampler_of


def test_calibrations_are_measured_once():
    calibrations, calls = Calibrations(), []
    for _ in range(2):
        assert calibrations.of("key", lambda: calls.append(1) or 5) == 5
    assert calls == [1]


def test_a_target_says_where_and_when(pipelines):
    sampler = sampler_of(pipelines, "flux")
    target = Target(sampler, read_modifier("single-L02-04-reuse.n2-steps-1-2"), PROMPTS, Calibrations())
    assert (target.blocks, target.steps, dict(target.parameters)) == ((2, 3, 4), (1, 2), {"n": 2})
    assert [target.holds(step) for step in range(4)] == [False, True, True, False]
    whole = Target(sampler, read_modifier("fewer-steps.2"), PROMPTS, Calibrations())
    assert (whole.blocks, whole.steps) == ((), (0, 3))


def test_an_implementation_is_loaded_by_its_name():
    assert implementation(read_modifier("single-L02-reuse.n2")) is ResidualReuse


ADDED = "from harness import Modifier\nMINE = Modifier('mine', 'does', '{}')\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (ADDED.format("no_such:Thing"), "has an implementation that doesn't load: ModuleNotFoundError"),
        (ADDED.format("builtins:int"), "has an implementation builtins:int that is no ModifierRun"),
        ("MINE = 5", "is a int, where a harness.Modifier is needed"),
        ("from harness import Modifier\nMINE = Modifier('other', '', 'a:B')", "calls itself 'other'"),
    ],
)
def test_a_packages_modifier_that_is_broken_is_named(package, source, message):
    package("bad-one", "[harness.modifiers]\nmine = bad_one:MINE", source)
    with pytest.raises(ExtensionError, match=message):
        implementation(read_modifier("mine"))


def test_a_packages_modifier_is_known_by_its_name(package):
    source = ADDED.format("harness.modifiers.fewer_steps:FewerSteps")
    package("bad-one", "[harness.modifiers]\nmine = bad_one:MINE", source)
    assert modifiers.names() == (*MODIFIERS, "mine")
    placed = read_modifier("mine")
    assert placed.modifier.package == "bad-one 0.3"
    with pytest.raises(CaseError, match="it takes nothing"):
        read_modifier("mine.3")

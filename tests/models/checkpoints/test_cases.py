"""Plans and cases of a checkpoint: what it knows is what is checked."""

from __future__ import annotations

import pytest

from harness.ablation.grid import Ask, expand
from harness.ablation.guidance import GuidancePass
from harness.errors import CaseError, PlanError
from harness.lab.lab import Lab
from harness.models.checkpoints.cases import cases_of_grid, cases_of_plans, check_passes, plan_of
from harness.models.checkpoints.resolve import resolve


@pytest.fixture(scope="module")
def flux():
    return resolve("flux-tiny")


@pytest.mark.parametrize("text", ["double: 0-1 3-4", "transformer_blocks: 0-1 3-4"])
def test_a_stack_has_two_names(flux, text):
    plan, stack = plan_of(flux, text)
    assert (str(plan.normal()), stack) == ("0 1 3 4", "double")
    assert plan_of(flux, "0-1 3-4", "transformer_blocks") == (plan, stack)


def test_a_part_that_the_blocks_lack_is_refused(flux):
    auraflow = resolve("auraflow-tiny")
    for read in (plan_of, lambda checkpoint, text: cases_of_plans(checkpoint, [text])):
        read(flux, "single: 0-3 4.text 5-9")
        with pytest.raises(PlanError, match="text and image as one sequence"):
            read(auraflow, "single: 0-3 4.text 5-9")


def test_modifiers_beside_a_plan_see_its_parts():
    """A plan under modifiers is read as one alone is."""
    lab = Lab("auraflow-tiny", prompts=["a red circle"])
    with pytest.raises(PlanError, match="text and image as one sequence"):
        lab.run("single: 0-3 4.text 5-9", modifiers="fewer-steps.3")


def test_plans_are_cases_in_each_window_under_each_modifier(flux):
    plans = ["double: 0-1 3-4", "single: 0-8"]
    assert [str(case.plan) for case in cases_of_plans(flux, plans)] == ["0 1 3 4", "0-8"]
    windowed = cases_of_plans(flux, plans, windows=[(0, 1), (2, 3)])
    assert [case.window for case in windowed] == [(0, 1), (2, 3), (0, 1), (2, 3)]
    modified = cases_of_plans(flux, plans, modifiers=["fewer-steps.3", "fewer-steps.2"])
    assert len({case.id for case in modified}) == 4
    with pytest.raises(CaseError, match="window"):
        cases_of_plans(flux, plans, windows=[(0, 1)], modifiers=["fewer-steps.3"])


def test_a_grid_is_that_of_expand(flux):
    ask = Ask(("transformer_blocks",), ("each",), ("skip",))
    own = expand("flux-tiny", flux.stacks, [Ask(("double",), ("each",), ("skip",))], steps=4)
    assert cases_of_grid(flux, [ask]) == own


def test_one_pass_needs_two(flux):
    check_passes(flux, [])
    with pytest.raises(CaseError, match="single pass"):
        check_passes(flux, [GuidancePass.CONDITIONAL])
    check_passes(resolve("sd3-tiny"), [GuidancePass.CONDITIONAL])

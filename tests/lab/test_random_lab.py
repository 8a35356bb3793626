"""A lab on random weights: no block is a no-op, every strategy takes hold, nothing is said of quality."""

from __future__ import annotations

import math

import pytest
import torch

from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.ablation.strategies import ALL_STRATEGIES, choose
from harness.errors import CaseError, PlanError, SurgeryError
from harness.lab.random_lab import RandomLab
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import FAMILIES
from tests.helpers.random_weights import CPU, MODELS, least


@pytest.mark.parametrize("name", MODELS)
def test_every_block_matters_and_nothing_overflows(random_labs, name):
    lab = random_labs[name]
    blocks = 0
    for stack, length in lab.checkpoint.stacks.items():
        for index in range(length):
            measured, seen = lab.run(choose("skip").plan(length, Span(index, index)), stack)
            assert measured.summary["same_as_listed"] == 1  # bitwise a model without the block
            assert 0.01 < min(measured.values["output_drift"]) < 2
            assert len(seen.images) == 0
            blocks += 1
    assert blocks == sum(PUBLISHED[name].stacks.values())
    assert 0.1 < lab.control_measurement().summary["output_rms"] < 10


@pytest.mark.parametrize("name", MODELS)
def test_what_the_blocks_add_up_to_stays_small(random_labs, name):
    """So that it does at full size, too: what is added grows with the root of the number of blocks."""
    lab = random_labs[name]
    sizes = []

    def note(_module, _arguments, output):
        image = output if torch.is_tensor(output) else output[1]
        sizes.append(float(image.float().pow(2).mean().sqrt()))

    handles = [
        block.register_forward_hook(note)
        for stack in lab.checkpoint.family.stacks
        for block in getattr(lab.transformer, stack.attribute)
    ]
    forward = lab.timed_forward()
    with torch.inference_mode():
        lab.transformer(**forward.arguments)
    for handle in handles:
        handle.remove()
    assert len(sizes) == sum(lab.checkpoint.stacks.values())
    assert max(sizes) < sizes[0] * math.sqrt(len(sizes))


@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
@pytest.mark.parametrize("name", MODELS)
def test_every_strategy_takes_hold(random_labs, name, strategy):
    lab = random_labs[name]
    stack, length = list(lab.checkpoint.stacks.items())[-1]
    plan = choose(strategy).plan(length, Span(length - 4, length - 1))  # with SD3's last block, which gives no text
    measured, _ = lab.run(plan, stack)
    textless = lab.checkpoint.family.name == "sd3" and length - 1 in list(plan.blocks())[:-1]
    grouped = any(not isinstance(step, int) for step in plan.steps)
    assert measured.summary["same_as_listed"] == (not grouped and not textless)


@pytest.mark.parametrize("strategy", ["skip-attn", "scale.f50"])  # what all stacks have
@pytest.mark.parametrize("name", MODELS)
def test_parts_take_hold_and_are_no_list_of_blocks(random_labs, name, strategy):
    lab = random_labs[name]
    stack, length = list(lab.checkpoint.stacks.items())[-1]
    measured, _ = lab.run(choose(strategy).plan(length, Span(length - 4, length - 1)), stack)
    assert measured.summary["output_drift"] > 0
    assert not measured.summary["same_as_listed"]


def test_a_part_that_a_stack_lacks_is_named_before_anything_runs(random_labs):
    with pytest.raises(PlanError, match=r"block 1 of stack 'single' has no part 'text': .* it has ff, and a factor"):
        random_labs["auraflow-v0.2"].run("single: 0 1.text 2-31")


def test_an_ablation_that_changes_nothing_is_an_error(random_labs, monkeypatch):
    lab = random_labs["auraflow-v0.2"]
    plan = parse("0-30", length=32)
    monkeypatch.setattr(lab, "control", lab.run(plan, "single")[1].tensor)
    with pytest.raises(SurgeryError, match="the plan '0-30' changes nothing: it was not applied"):
        lab.run(plan, "single")


def test_one_forward_has_no_window_of_steps(random_labs):
    with pytest.raises(CaseError, match=r"random weights run one forward, .* leave out the window 0-1"):
        random_labs["flux.1-dev"].run(parse("0-3 5-18"), "double", (0, 1))


def test_an_output_that_is_not_finite_is_an_error(monkeypatch):
    lab = RandomLab(least("auraflow-v0.2"), device=CPU)
    healthy = lab.control
    lab.check_identity("single")
    lab.transformer.single_transformer_blocks[3].ff.out_projection.weight[0, 0] = float("nan")
    plan = parse("0-3 3 5-31", length=32)
    with pytest.raises(SurgeryError, match="stack 'single' under the plan '0-3 3 5-31': the output is not finite"):
        lab.run(plan, "single")
    del lab.control
    for broken in (lab.control_measurement, lambda: lab.run(plan, "single")):
        with pytest.raises(SurgeryError, match="the un-ablated model: the output is not finite"):
            broken()
    assert torch.isfinite(healthy).all()


def test_every_family_can_be_made():
    assert {PUBLISHED[name].family for name in MODELS} == set(FAMILIES.values())

"""A forward taken apart at its stacks is bitwise the forward."""

from __future__ import annotations

import pytest
import torch

from harness.errors import SurgeryError
from harness.surgery.stack_states import StackStates
from harness.surgery.view import BlockView, ablate
from tests.helpers import models
from tests.helpers.models import run
from tests.helpers.small_models import small

FAMILIES = pytest.mark.parametrize("family", models.FAMILIES)


@FAMILIES
def test_stacks_run_one_after_the_other_give_the_output_of_the_forward(model):
    transformer, arguments = model
    states = StackStates(transformer)
    ends = []
    with torch.no_grad():
        for stack in states.stacks:
            call = states.call_of(arguments, ends)
            end = stack.start(call)
            for block in range(states.lengths[stack.name]):
                end = stack.run_step(block, end, call)
            ends.append(end)
        assert torch.equal(states.output_after(arguments, ends), run(transformer, arguments))
    assert not any(isinstance(getattr(transformer, stack.attribute), BlockView) for stack in states.stacks)


@FAMILIES
def test_a_model_under_a_plan_is_refused(model):
    transformer, _ = model
    first = StackStates(transformer).stacks[0].name
    with ablate(transformer, "0", first), pytest.raises(SurgeryError, match="is already under a plan"):
        StackStates(transformer)


def test_each_block_of_chroma_has_its_own_modulation():
    transformer, arguments = small("ChromaTransformer2DModel")
    states = StackStates(transformer)
    with torch.no_grad():
        call = states.call_of(arguments, [])
    assert [set(own) for own in call.own] == [{"temb"}] * states.lengths["transformer_blocks"]
    assert not torch.equal(call.own[0]["temb"], call.own[1]["temb"])
    assert states.stacks[0].start(call).keys() == {"encoder_hidden_states", "hidden_states"}


def test_residuals_between_blocks_are_refused():
    transformer, arguments = models.flux()
    arguments["controlnet_block_samples"] = [torch.ones(2, 9, 16)] * 2
    with torch.no_grad(), pytest.raises(SurgeryError, match="changes hidden_states between its blocks"):
        StackStates(transformer).call_of(arguments, [])

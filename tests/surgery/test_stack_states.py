"""A forward taken apart at its stacks is bitwise the forward."""

from __future__ import annotations

import pytest
import torch

from harness.errors import SurgeryError
from harness.surgery.stack_states import StackStates
from harness.surgery.view import BlockView, ablate
from tests.helpers import models
from tests.helpers.models import run

FAMILIES = pytest.mark.parametrize("family", models.FAMILIES)


@FAMILIES
def test_stacks_run_one_after_the_other_give_the_output_of_the_forward(model):
    transformer, arguments = model
    states = StackStates(transformer)
    end = None
    with torch.no_grad():
        for depth, stack in enumerate(states.stacks):
            call = states.call_of(depth, arguments, end)
            end = stack.start(call)
            for block in range(states.lengths[stack.name]):
                end = stack.run_step(block, end, call)
        assert torch.equal(states.output_after(arguments, end), run(transformer, arguments))
    assert not any(isinstance(getattr(transformer, stack.attribute), BlockView) for stack in states.stacks)


@FAMILIES
def test_a_model_under_a_plan_is_refused(model):
    transformer, _ = model
    first = StackStates(transformer).stacks[0].name
    with ablate(transformer, "0", first), pytest.raises(SurgeryError, match="is already under a plan"):
        StackStates(transformer)

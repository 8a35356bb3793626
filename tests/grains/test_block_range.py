"""Ranges of blocks, and their streams going in and out, on every family."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.block_range import Stream, block_range, split_joined
from harness.grains.forward_facts import forward_facts
from harness.surgery.view import ablate
from tests.helpers import models
from tests.helpers.models import blocks, run

EVERY_STACK = pytest.mark.parametrize(("family", "stack"), models.STACKS)
TOKENS = {"flux": (9, 5), "sd3": (16, 5), "auraflow": (16, 13)}  # image; text with AuraFlow's eight registers


@EVERY_STACK
def test_the_streams_of_a_block_are_told_apart_and_put_together_again(model, stack, family):
    transformer, arguments = model
    where = block_range(transformer, stack, Span(1, 2))
    seen = {}
    with forward_facts(where.model) as facts:

        def look(block, args, kwargs, output):
            inputs = where.inputs(where.arguments(block, args, kwargs), facts.image_tokens)
            outputs = where.outputs(output, facts.image_tokens)
            seen["tokens"] = [(s[Stream.IMAGE].shape[1], s[Stream.TEXT].shape[1]) for s in (inputs, outputs)]
            again = where.with_outputs(output, outputs)
            flat = [(output,), (again,)] if where.joined else [output, again]
            seen["same"] = all(torch.equal(a, b) for a, b in zip(*flat, strict=True))

        handle = where.blocks[1].register_forward_hook(look, with_kwargs=True)
        run(transformer, arguments)
        handle.remove()
    assert seen == {"tokens": [TOKENS[family]] * 2, "same": True}
    assert where.joined == models.one_tensor(transformer, stack)
    assert where.one_sequence == (stack == "single")
    assert where.place == f"stack {stack!r} 1-2"


@EVERY_STACK
def test_the_blocks_are_the_models_own_under_a_plan_too(model, stack):
    transformer, _ = model
    own = list(blocks(transformer, stack))
    with ablate(transformer, "0 2", stack):
        assert list(block_range(transformer, stack, None).blocks.values()) == own


def test_a_tensor_without_room_for_the_image_is_refused():
    with pytest.raises(SurgeryError, match="got 4 tokens where the image alone has 5"):
        split_joined(torch.zeros(1, 4, 2), 5)


def test_wrong_input_is_named():
    transformer, _ = models.auraflow()
    with pytest.raises(CaseError, match="range '6' for stack 'single' doesn't fit its 6 blocks"):
        block_range(transformer, "single", Span(6, 6))
    with pytest.raises(SurgeryError, match="name one of its stacks; it has double, single"):
        block_range(transformer, None, None)
    with pytest.raises(SurgeryError, match="expected a diffusers transformer"):
        block_range(3, None, None)

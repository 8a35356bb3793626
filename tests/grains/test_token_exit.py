"""A stream that leaves: frozen keeps its state, dropped runs shorter sequences."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from harness.ablation.plan import Plan
from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.attention_edges import Edge, cut_edges
from harness.grains.block_range import Stream
from harness.grains.token_exit import Exit, token_exit
from harness.surgery.view import ablate
from tests.helpers import models
from tests.helpers.models import blocks, one_tensor, run

EVERY_STACK = pytest.mark.parametrize(("family", "stack"), models.STACKS)
FAMILIES = pytest.mark.parametrize("family", models.FAMILIES)
IMAGE = {"flux": 9, "sd3": 16, "auraflow": 16}


def last_stack(transformer):
    return "joint" if "SD3" in type(transformer).__name__ else "single"


def later_blocks(transformer, stack, after):
    """(stack, block) behind block ``after`` of a stack, over all stacks."""
    names = ["joint"] if "SD3" in type(transformer).__name__ else ["double", "single"]
    for name in names[names.index(stack) :]:
        for index, block in enumerate(blocks(transformer, name)):
            if name != stack or index > after:
                yield name, block


def by_hand(transformer, arguments, stack, after, image, how):
    """The slow reference: later blocks replaced by functions that put the text away and back again."""
    held, handles = {}, []
    joined = {"single"} if one_tensor(transformer, "single") else set()

    def text_of(name, output):
        return output[:, :-image] if name in joined else output[0]

    def keep(_block, _args, output):
        held["text"] = text_of(stack, output)

    def frozen(name):
        def put_back(_block, _args, output):
            if name in joined:
                return torch.cat([held["text"], output[:, -image:]], dim=1)
            return (held["text"], output[1])

        return put_back

    def dropped(name, block):
        forward = type(block).forward

        def alone(*args, **kwargs):
            call = inspect.signature(forward).bind(block, *args, **kwargs).arguments
            call.pop("self")
            if name in joined:
                short = {**call, "hidden_states": call["hidden_states"][:, -image:]}
                if call.get("image_rotary_emb") is not None:
                    short["image_rotary_emb"] = tuple(part[-image:] for part in call["image_rotary_emb"])
                out = forward(block, **short)
                return torch.cat([held["text"], out], dim=1)
            # A text token that nobody can read, in the place of none: every edge from and to it is cut.
            short = {**call, "encoder_hidden_states": call["encoder_hidden_states"][:, :1]}
            if call.get("image_rotary_emb") is not None:
                kept = call["encoder_hidden_states"].shape[1] - 1
                short["image_rotary_emb"] = tuple(part[kept:] for part in call["image_rotary_emb"])
            return held["text"], forward(block, **short)[1]

        return alone

    handles.append(blocks(transformer, stack)[after].register_forward_hook(keep))
    later = list(later_blocks(transformer, stack, after))
    for name, block in later:
        if how is Exit.FROZEN:
            handles.append(block.register_forward_hook(frozen(name)))
        else:
            block.forward = dropped(name, block)
    try:
        return run(transformer, arguments)
    finally:
        for handle in handles:
            handle.remove()
        for _, block in later:
            vars(block).pop("forward", None)


@EVERY_STACK
@pytest.mark.parametrize("how", Exit)
def test_a_text_that_leaves_agrees_with_the_slow_reference(model, stack, family, how):
    transformer, arguments = model
    before = run(transformer, arguments)
    with token_exit(transformer, stack, 1, Stream.TEXT, how) as calls:
        out = run(transformer, arguments)
    if how is Exit.DROPPED:
        with NoReadingOfText(transformer, stack, 1):
            expected = by_hand(transformer, arguments, stack, 1, IMAGE[family], how)
    else:
        expected = by_hand(transformer, arguments, stack, 1, IMAGE[family], how)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    assert (out - before).abs().max() > 1e-4
    assert sum(calls.counts.values()) == len(list(later_blocks(transformer, stack, 1)))
    assert set(calls.counts.values()) == {1}
    assert torch.equal(run(transformer, arguments), before)


class NoReadingOfText:
    """The edge from the image to the text cut in the blocks that the reference runs with one text token."""

    def __init__(self, transformer, stack, after):
        self.contexts = []
        for name in dict.fromkeys(name for name, _ in later_blocks(transformer, stack, after)):
            length = len(blocks(transformer, name))
            span = Span(after + 1 if name == stack else 0, length - 1)
            if not one_tensor(transformer, name):
                self.contexts.append(cut_edges(transformer, name, span, {Edge.IMAGE_TO_TEXT}))

    def __enter__(self):
        for context in self.contexts:
            context.__enter__()

    def __exit__(self, *error):
        for context in self.contexts:
            context.__exit__(*error)


@FAMILIES
@pytest.mark.parametrize("stream", Stream)
@pytest.mark.parametrize("how", Exit)
def test_after_the_very_last_block_nothing_leaves(model, stream, how):
    transformer, arguments = model
    stack = last_stack(transformer)
    before = run(transformer, arguments)
    with token_exit(transformer, stack, len(blocks(transformer, stack)) - 1, stream, how) as calls:
        assert torch.equal(run(transformer, arguments), before)
    assert not calls.counts


@FAMILIES
def test_a_text_frozen_before_the_last_block_changes_nothing_as_its_update_is_not_read(model):
    transformer, arguments = model
    stack = last_stack(transformer)
    before = run(transformer, arguments)
    with token_exit(transformer, stack, len(blocks(transformer, stack)) - 2, Stream.TEXT, Exit.FROZEN) as calls:
        assert torch.equal(run(transformer, arguments), before)
    assert sum(calls.counts.values()) == 1


@EVERY_STACK
def test_an_image_that_leaves_is_bitwise_the_model_that_ends_there(model, stack, family):
    transformer, arguments = model
    before = run(transformer, arguments)
    outs, counts = [], []
    for how in Exit:
        with token_exit(transformer, stack, 1, Stream.IMAGE, how) as calls:
            outs.append(run(transformer, arguments))
        counts.append(dict(calls.counts))
    with ablate(transformer, Plan((0, 1)), stack):
        if family != "sd3" and stack == "double":
            with ablate(transformer, Plan(()), "single"):
                expected = run(transformer, arguments)
        else:
            expected = run(transformer, arguments)
    assert torch.equal(outs[0], outs[1])
    assert torch.equal(outs[0], expected)
    assert counts[0] == counts[1] == dict.fromkeys(range(2, 2 + len(counts[0])), 1)
    assert not torch.equal(outs[0], before)
    assert torch.equal(run(transformer, arguments), before)


@EVERY_STACK
def test_dropped_text_is_not_computed_and_frozen_text_is(model, stack):
    transformer, arguments = model

    def flops(how=None):
        with FlopCounterMode(display=False) as counter:
            if how is None:
                run(transformer, arguments)
            else:
                with token_exit(transformer, stack, 0, Stream.TEXT, how):
                    run(transformer, arguments)
        return counter.get_total_flops()

    assert flops(Exit.DROPPED) < 0.95 * flops()
    assert flops(Exit.FROZEN) == flops()


@EVERY_STACK
@pytest.mark.parametrize("how", Exit)
def test_an_exception_inside_leaves_the_model_as_it_was(model, stack, how):
    transformer, arguments = model
    before = run(transformer, arguments)

    def fail():
        with token_exit(transformer, stack, 0, Stream.TEXT, how):
            run(transformer, arguments)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert torch.equal(run(transformer, arguments), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in transformer.modules())


def test_a_later_block_before_the_one_that_it_leaves_after_is_told():
    transformer, arguments = models.flux()
    with (
        ablate(transformer, "double: 3 2 1 0"),
        pytest.raises(SurgeryError, match="text dropped after block 2 of stack 'double': a later block runs before"),
        token_exit(transformer, "double", 2),
    ):
        run(transformer, arguments)


def test_it_composes_with_a_plan_that_keeps_the_order():
    transformer, arguments = models.auraflow()
    with ablate(transformer, "single: 0-2 4-5"), token_exit(transformer, "single", 2) as calls:
        out = run(transformer, arguments)
    assert calls.counts == {4: 1, 5: 1}
    assert torch.isfinite(out).all()


def test_wrong_input_is_named():
    transformer, _ = models.flux()
    with (
        pytest.raises(CaseError, match="range '9' for stack 'double' doesn't fit its 4 blocks"),
        token_exit(transformer, "double", 9),
    ):
        pass
    with pytest.raises(SurgeryError, match="no call of a block was changed"), token_exit(transformer, "double", 0):
        pass
    with (
        ablate(transformer, "double: 0-1"),
        pytest.raises(SurgeryError, match="already under a plan"),
        token_exit(transformer, "double", 0, Stream.IMAGE),
    ):
        pass

"""Parts of blocks on a model: what runs is what a forward written by hand says, and nothing stays behind."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import accelerate
import pytest
import torch
from peft import LoraConfig

from harness.ablation.block_parts import STREAMS, SUBLAYERS, BlockPart, PartialBlock
from harness.ablation.grid import Ask, expand
from harness.ablation.plan import parse
from harness.errors import ExportError, PlanError, SurgeryError
from harness.models.stacks import find_stack
from harness.surgery import slot
from harness.surgery.block_contract import contract
from harness.surgery.partial_block import sublayers_of, without
from harness.surgery.prefix_walk import walk
from harness.surgery.pruning import chosen
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import Slot, ablate
from tests.helpers import models
from tests.helpers.models import SPECS, blocks, one_tensor, run
from tests.helpers.needs import require
from tests.helpers.plain_blocks import plain_block

pytestmark = pytest.mark.parametrize(("family", "stack"), models.STACKS)
STRATEGIES = ("skip-attn", "skip-ff", "skip-text", "skip-image", "scale.f50", "scale.f150")
SECOND_ATTENTION = (0, 1, 2)  # SD3.5's first blocks


@pytest.fixture
def model(family):
    return models.sd3(dual=SECOND_ATTENTION) if family == "sd3" else models.FAMILIES[family]()


def call_of(transformer, arguments, block):
    """What the model calls a block with."""
    calls = []
    handle = block.register_forward_pre_hook(lambda _module, _args, kwargs: calls.append(kwargs), with_kwargs=True)
    run(transformer, arguments)
    handle.remove()
    return dict(calls[0])


def through_slot(transformer, stack, part, call):
    """The state after a partial block."""
    attribute = find_stack(transformer, stack)[1]
    own = list(getattr(transformer, attribute))
    rule = contract(transformer, attribute)
    with torch.no_grad():
        out = Slot(own[part.index], own, (part,), rule)(**call)
    return dict(zip(rule.outputs, (out,) if rule.single else out, strict=True))


def every_block(transformer, arguments, stack):
    for index, block in enumerate(blocks(transformer, stack)):
        yield index, block, call_of(transformer, arguments, block)


def close(state, expected):
    assert all(torch.allclose(value, expected[name], atol=2e-5, rtol=1e-5) for name, value in state.items())


@pytest.mark.parametrize("part", ["", "attn", "ff"])
def test_a_sublayer_alone_is_the_forward_without_the_other_one(model, stack, part):
    transformer, arguments = model
    for index, block, call in every_block(transformer, arguments, stack):
        kept = frozenset({BlockPart(part)}) if part else frozenset()
        state = through_slot(transformer, stack, PartialBlock(index, kept), call)
        with torch.no_grad():
            close(state, plain_block(block, call, {"": "", "attn": "ff", "ff": "attn"}[part]))
            if part:
                whole = plain_block(block, call)
                assert not all(torch.allclose(state[name], whole[name], atol=1e-3) for name in state)


def test_without_both_sublayers_a_block_changes_nothing_bitwise(model, stack):
    transformer, arguments = model
    for _, block, call in every_block(transformer, arguments, stack):
        with torch.no_grad(), without(block, SUBLAYERS):
            out = block(**call)
        rule = contract(transformer, find_stack(transformer, stack)[1])
        for name, value in zip(rule.outputs, (out,) if rule.single else out, strict=True):
            assert value is None or torch.equal(value, call[name])  # None: SD3's last block gives no text


def test_attention_alone_is_nothing_where_the_plan_refuses_it(model, stack, family):
    """AuraFlow: what attention adds is read by the feed-forward alone."""
    transformer, arguments = model
    refused = BlockPart.ATTENTION not in SPECS[family].parts[stack].parts
    assert refused == (family == "auraflow")
    block = blocks(transformer, stack)[1]
    call = call_of(transformer, arguments, block)
    state = through_slot(transformer, stack, PartialBlock(1, frozenset({BlockPart.ATTENTION})), call)
    assert all(torch.equal(value, call[name]) for name, value in state.items()) == refused


def test_in_one_projection_the_two_parts_add_up_to_the_update(model, stack, family):
    if (family, stack) != ("flux", "single"):
        pytest.skip("only FLUX's single blocks end in one projection")
    transformer, arguments = model
    for index, _, call in every_block(transformer, arguments, stack):
        updates = []
        for parts in ({BlockPart.ATTENTION}, {BlockPart.FEED_FORWARD}, set()):
            state = through_slot(transformer, stack, PartialBlock(index, frozenset(parts)), call)
            updates.append({name: value - call[name] for name, value in state.items()})
        attention, feed_forward, whole = updates
        close({name: attention[name] + feed_forward[name] for name in whole}, whole)


def test_a_stream_is_the_blocks_own_and_the_other_one_passes(model, stack, family):
    if one_tensor(transformer := model[0], stack):
        with pytest.raises((PlanError, SurgeryError), match="one sequence"), ablate(transformer, "0.text 1", stack):
            pass
        return
    call = call_of(*model, blocks(transformer, stack)[1])
    whole = through_slot(transformer, stack, PartialBlock(1), call)
    text = through_slot(transformer, stack, PartialBlock(1, frozenset({BlockPart.TEXT})), call)
    image = through_slot(transformer, stack, PartialBlock(1, frozenset({BlockPart.IMAGE})), call)
    c, x = "encoder_hidden_states", "hidden_states"
    assert torch.equal(text[c], whole[c])
    assert torch.equal(text[x], call[x])
    assert torch.equal(image[x], whole[x])
    assert torch.equal(image[c], call[c])
    assert not torch.equal(whole[c], call[c])
    assert not torch.equal(whole[x], call[x])


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.5])
def test_a_factor_scales_the_update(model, stack, factor):
    transformer, arguments = model
    call = call_of(transformer, arguments, blocks(transformer, stack)[1])
    whole = through_slot(transformer, stack, PartialBlock(1), call)
    state = through_slot(transformer, stack, PartialBlock(1, factor=factor), call)
    if factor in (0.0, 1.0):
        assert all(torch.equal(value, whole[name] if factor else call[name]) for name, value in state.items())
    close(state, {name: call[name] + factor * (whole[name] - call[name]) for name in state})


def test_factors_of_0_and_1_are_bitwise_the_skip_and_the_model(model, stack):
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    with ablate(transformer, f"0*1 1.attn.ff 2.text.image 3-{length - 1}*1.0", stack):
        assert torch.equal(run(transformer, arguments), run(*model))
    with ablate(transformer, f"0 2-{length - 1}", stack):
        skipped = run(transformer, arguments)
    for text in (f"0 1*0 2-{length - 1}", f"0 (1*0|1*0)+ 2-{length - 1}"):
        with ablate(transformer, text, stack):
            assert torch.equal(run(transformer, arguments), skipped)


def cases_of(family, stack, length, strategy):
    """The cases of single blocks and of the middle, where the stack has the part."""
    parts = SPECS[family].parts[stack]
    asks = [Ask((stack,), ("each", "middle"), (strategy,))]
    try:
        return expand("m", {stack: length}, asks, parts={stack: parts})
    except ValueError:
        return []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_case_runs_as_planned_and_changes_the_output(model, stack, family, strategy):
    transformer, arguments = model
    before = run(transformer, arguments)
    cases = cases_of(family, stack, len(blocks(transformer, stack)), strategy)
    lacks = {("auraflow", "skip-ff"), ("auraflow-single", "skip-text"), ("auraflow-single", "skip-image")}
    assert bool(cases) == ((family, strategy) not in lacks and (f"{family}-{stack}", strategy) not in lacks)
    if any(part in strategy for part in ("text", "image")) and one_tensor(transformer, stack):
        return
    for case in cases:
        with ablate(transformer, case.plan, stack), traced(transformer, stack) as ran:
            out = run(transformer, arguments)
        assert check_trace(ran, case.plan, stack) == 1
        assert torch.isfinite(out).all()
        assert not torch.equal(out, before), case.id
    assert torch.equal(run(transformer, arguments), before)


def test_a_part_that_silently_does_nothing_is_an_error(model, stack, family, monkeypatch):
    transformer, arguments = model
    plain = parse(f"0 1.ff 2-{len(blocks(transformer, stack)) - 1}")
    scaled = parse(f"0 1*0.5 2-{len(blocks(transformer, stack)) - 1}")
    monkeypatch.setattr(slot, "without", lambda _block, _parts: nullcontext())
    with ablate(transformer, plain, stack), traced(transformer, stack) as ran:
        run(transformer, arguments)
    with pytest.raises(SurgeryError, match=r"runs blocks \[0, 1\.ff, .*\], but \[0, 1, .*did not take hold"):
        check_trace(ran, plain, stack)
    monkeypatch.setattr(slot, "take", lambda _block, _part, _before, after: after)
    with ablate(transformer, scaled, stack), traced(transformer, stack) as ran:
        run(transformer, arguments)
    with pytest.raises(SurgeryError, match="did not take hold"):
        check_trace(ran, scaled, stack)


def test_half_of_a_sublayer_is_an_error(model, stack):
    transformer, arguments = model
    block = blocks(transformer, stack)[1]
    names = sublayers_of(block)[BlockPart.FEED_FORWARD]
    if len(names) < 2:
        pytest.skip("its feed-forward is one submodule")
    call = call_of(transformer, arguments, block)
    hidden = list(names)[-1]
    real = block._modules[hidden]
    block._modules[hidden] = type("Nothing", (torch.nn.Module,), {"forward": lambda _self, x=None, **_: x})()
    with (
        pytest.raises(SurgeryError, match=f"block 1 ran .* and not {hidden}: half of its part"),
        torch.no_grad(),
        traced_with(transformer, stack, block, hidden, real),
    ):
        block(**call)


@contextmanager
def traced_with(transformer, stack, block, name, real):
    """A trace that watches a submodule which something has put aside since."""
    nothing, block._modules[name] = block._modules[name], real
    with traced(transformer, stack):
        block._modules[name] = nothing
        try:
            yield
        finally:
            block._modules[name] = real


def test_nothing_stays_behind_an_exception(model, stack):
    transformer, arguments = model
    before, state = run(transformer, arguments), {k: v.clone() for k, v in transformer.state_dict().items()}
    block = blocks(transformer, stack)[1]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in transformer.modules()]
    modules = dict(block._modules)

    def fail(*_):
        raise ZeroDivisionError

    handle = block.register_forward_hook(fail)
    with pytest.raises(ZeroDivisionError), ablate(transformer, "0 1.ff 2", stack), traced(transformer, stack):
        run(transformer, arguments)
    handle.remove()
    assert block._modules == modules
    assert list(block._modules) == list(modules)
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in transformer.modules()] == hooks
    after = transformer.state_dict()
    assert list(after) == list(state)
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert torch.equal(run(transformer, arguments), before)


def test_a_lora_is_left_out_with_its_sublayer_and_counts_with_the_other_one(model, stack, family):
    transformer, arguments = model
    require(f"diffusers.{type(transformer).__name__}.add_adapter")
    layers = ["to_q", "proj_out", "proj_mlp", "out_projection", "net.2"]
    transformer.add_adapter(LoraConfig(r=2, target_modules=layers, init_lora_weights=False))
    parts = ("ff",) if family == "auraflow" else ("attn", "ff")
    plans = [f"0 1.{part} 2-{len(blocks(transformer, stack)) - 1}" for part in parts]

    def outputs():
        for plan in plans:
            with ablate(transformer, plan, stack):
                yield run(transformer, arguments)

    with_lora = list(outputs())
    transformer.fuse_lora()
    fused = list(outputs())
    transformer.unfuse_lora()
    transformer.disable_adapters()
    for lora, whole, without_lora in zip(with_lora, fused, outputs(), strict=True):
        assert torch.allclose(lora, whole, atol=1e-4, rtol=1e-3)
        assert not torch.allclose(lora, without_lora, atol=1e-3)


def test_under_offload(model, stack, tmp_path):
    transformer, arguments = model
    plan = f"0 1.ff*0.5 (2.ff|3) 3-{len(blocks(transformer, stack)) - 1}"
    with ablate(transformer, plan, stack):
        ablated = run(transformer, arguments)
    before = run(transformer, arguments)
    accelerate.disk_offload(transformer, str(tmp_path), execution_device=torch.device("cpu"))
    with ablate(transformer, plan, stack), traced(transformer, stack) as ran:
        assert torch.equal(run(transformer, arguments), ablated)
    check_trace(ran, parse(plan), stack)
    assert torch.equal(run(transformer, arguments), before)


def test_a_walk_over_plans_runs_parts_bitwise_as_a_view_does(model, stack):
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    plans = [parse(f"0 1.ff 2-{length - 1}"), parse(f"0 1.ff*0.5 2-{length - 1}"), parse(f"0 1.ff 3-{length - 1}")]
    with torch.no_grad():
        for number, output in walk(transformer, arguments, [{stack: plan} for plan in plans]):
            with ablate(transformer, plans[number], stack):
                assert torch.equal(output, run(transformer, arguments))


def test_what_a_stack_lacks_is_refused_by_name(model, stack, family):
    transformer, _ = model
    lacking = SPECS[family].parts[stack].parts ^ (STREAMS | SUBLAYERS)
    for part in lacking:
        refused = pytest.raises(PlanError, match=f"has no part '{part}'.* it has ff")
        with refused, ablate(transformer, f"0 1.{part}", stack):
            pass
    with pytest.raises(ExportError, match=r"'1\.ff' is a part of block 1, .* write the block whole or leave it out"):
        chosen(transformer, {stack: "0 1.ff 2"})


def test_a_block_of_an_unknown_class_has_no_sublayers(family, stack):
    assert sublayers_of(torch.nn.Linear(1, 1)) == {}
    refused = pytest.raises(SurgeryError, match="isn't known which submodules of a Linear")
    with refused, without(torch.nn.Linear(1, 1), SUBLAYERS):
        pass

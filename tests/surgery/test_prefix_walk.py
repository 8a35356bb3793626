"""A walk over many plans gives bitwise what each plan alone gives, and runs no block that it need not run."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.plan import Plan, parse
from harness.errors import PlanError, SurgeryError
from harness.models.forward_output import output_of
from harness.models.stacks import stacks
from harness.surgery.prefix_walk import block_runs, walk
from harness.surgery.view import BlockView, ablate
from tests.helpers import models
from tests.helpers.models import blocks, run
from tests.helpers.small_models import small

FAMILIES = pytest.mark.parametrize("family", models.FAMILIES)


def lengths(transformer):
    return {stack: len(blocks(transformer, stack)) for stack in stacks(transformer)}


def some_plans(of):
    """The model as it is, every single skip, and of each stack a reversal, a group, a repetition and no block."""
    plans = [{}]
    for stack, length in of.items():
        plans += [{stack: Plan(tuple(j for j in range(length) if j != i))} for i in range(length)]
        plans += [{stack: parse(text)} for text in ("1 0", "0 (0|1)x2 1", "0 0 1", "(0|1)")]
        plans.append({stack: Plan(())})
    first, *_, last = [*of, *of]
    return [*plans, {first: parse("1"), last: parse("0 1")}, {}]


def counted(transformer, of):
    """How often a block runs, and what takes the count away again."""
    runs = []
    every = [block for stack in of for block in blocks(transformer, stack)]
    return runs, [block.register_forward_hook(lambda *_: runs.append(1)) for block in every]


@FAMILIES
def test_every_plan_is_bitwise_that_of_a_forward_of_its_own(model):
    transformer, arguments = model
    plans = some_plans(lengths(transformer))
    with torch.no_grad():
        outputs = {index: output.clone() for index, output in walk(transformer, arguments, plans)}
    assert sorted(outputs) == list(range(len(plans)))
    for index, plan in enumerate(plans):
        with ExitStack() as stack:
            for name, steps in plan.items():
                stack.enter_context(ablate(transformer, steps, name))
            assert torch.equal(outputs[index], run(transformer, arguments)), plan
    assert not any(isinstance(blocks(transformer, stack), BlockView) for stack in stacks(transformer))


@FAMILIES
def test_no_block_runs_twice_for_one_prefix(model):
    transformer, arguments = model
    of = lengths(transformer)
    plans = some_plans(of)
    runs, handles = counted(transformer, of)
    with torch.no_grad():
        assert len(list(walk(transformer, arguments, plans))) == len(plans)
    assert len(runs) == block_runs(of, plans)
    for handle in handles:
        handle.remove()


@given(st.integers(1, 9))
def test_all_subsets_take_one_run_for_each_but_the_empty_one(length):
    subsets = [{"s": Plan(tuple(i for i in range(length) if bits >> i & 1))} for bits in range(2**length)]
    # A node of the tree is a set of kept blocks up to its last: every set but the empty one, once.
    assert block_runs({"s": length}, subsets) == 2**length - 1


def test_runs_are_those_of_the_tree():
    of = {"a": 3, "b": 2}
    assert block_runs(of, []) == 0
    assert block_runs(of, [{}]) == 5
    assert block_runs(of, [{}, {}]) == 5
    assert block_runs(of, [{}, {"b": parse("0")}]) == 5  # ends where the first goes on
    assert block_runs(of, [{}, {"b": parse("1")}]) == 6
    assert block_runs(of, [{}, {"a": parse("0 1")}]) == 7  # and the second stack runs again
    assert block_runs(of, [{"a": parse("(0|1)x3 2")}]) == 9


@FAMILIES
def test_what_is_wrong_is_named_and_the_model_is_left_as_it_was(model, family):
    transformer, arguments = model
    first = next(iter(stacks(transformer)))
    with pytest.raises(SurgeryError, match="there is no stack 'x'; the model has "):
        list(walk(transformer, arguments, [{"x": parse("0")}]))
    with pytest.raises(PlanError, match="99"):
        list(walk(transformer, arguments, [{first: parse("0 99")}]))
    with ablate(transformer, "0", first), pytest.raises(SurgeryError, match="is already under a plan"):
        list(walk(transformer, arguments, [{}]))
    going = walk(transformer, arguments, [{}, {first: parse("0")}])
    with torch.no_grad():
        next(going)
        going.close()  # in the middle of the walk
    assert not any(isinstance(blocks(transformer, stack), BlockView) for stack in stacks(transformer))
    assert list(walk(transformer, arguments, [])) == []


OTHER_MODELS = {
    "ChromaTransformer2DModel": "modulation of each block's own",
    "Flux2Transformer2DModel": "a dictionary by index, which has caches",
    "QwenImage21Transformer2DModel": "a cache by index, here without one",
    "Lumina2Transformer2DModel": "refiners of text and of image, beside each other",
    "ZImageTransformer2DModel": "a list of outputs",
    "Flux3Transformer2DModel": "stacks in a ModuleDict, beside each other",
    "Kandinsky5Transformer3DModel": "a bare tensor",
}


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_so_it_is_in_models_without_an_adapter(name):
    transformer, arguments = small(name)
    arguments = {**arguments, "return_dict": False}
    plans = some_plans(lengths(transformer))
    with torch.no_grad():
        outputs = dict(walk(transformer, arguments, plans))
        assert sorted(outputs) == list(range(len(plans)))
        for index, plan in enumerate(plans):
            with ExitStack() as stack:
                for attribute, steps in plan.items():
                    stack.enter_context(ablate(transformer, steps, attribute))
                assert torch.equal(outputs[index], output_of(transformer, arguments)), plan
    assert len({tuple(output.flatten()[:99].tolist()) for output in outputs.values()}) > len(plans) / 2


@pytest.mark.parametrize(
    ("name", "reason"),
    {
        "HiDreamImageTransformer2DModel": r"depend on \(encoder_hidden_states is put together anew",
        "HunyuanDiT2DModel": r"depend on \(.* \(long skips\)\)",
        "LatteTransformer3DModel": r"changes hidden_states between its blocks",
        "WanAnimate2Transformer3DModel": r"block 0 has a cache \(kv_cache\)",
    }.items(),
)
def test_models_that_cannot_be_taken_apart_are_refused(name, reason):
    transformer, arguments = small(name)
    with torch.no_grad(), pytest.raises(SurgeryError, match=reason):
        list(walk(transformer, {**arguments, "return_dict": False}, [{}]))
    assert not any(isinstance(blocks(transformer, stack), BlockView) for stack in stacks(transformer))

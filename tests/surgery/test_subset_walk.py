"""The batched walk over all subsets gives what each plan alone gives, and runs no block more often than it must."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.ablation.plan import Plan
from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, put_blocks, stacks
from harness.surgery.prefix_walk import walk
from harness.surgery.subset_walk import subset_block_runs, walk_subsets
from harness.surgery.view import BlockView
from tests.helpers import models
from tests.helpers.small_models import small

FAMILIES = pytest.mark.parametrize("family", models.FAMILIES)


def shortened(transformer, most=3):
    """At most three blocks a stack, the last ones: SD3's last block is unlike the others."""
    for attribute in stacks(transformer).values():
        put_blocks(transformer, attribute, nn.ModuleList(list(blocks_at(transformer, attribute))[-most:]))
    return {stack: len(blocks_at(transformer, attribute)) for stack, attribute in stacks(transformer).items()}


def plan_of(subset, of):
    plan, start = {}, 0
    for stack, length in of.items():
        plan[stack] = Plan(tuple(i for i in range(length) if not subset >> (start + i) & 1))
        start += length
    return plan


@FAMILIES
@pytest.mark.parametrize("together", [1, 4, 100])
def test_every_subset_has_the_output_of_its_plan(model, together):
    transformer, arguments = model
    of = shortened(transformer)
    count = sum(of.values())
    with torch.no_grad():
        slow = dict(walk(transformer, arguments, [plan_of(subset, of) for subset in range(2**count)]))
        fast = {}
        for subsets, outputs in walk_subsets(transformer, arguments, together=together):
            assert len(subsets) == len(outputs) <= together
            fast |= dict(zip(subsets, outputs, strict=True))
    assert sorted(fast) == sorted(slow)
    for subset, output in slow.items():
        assert torch.allclose(fast[subset], output, rtol=1e-4, atol=1e-5), subset
    assert not any(isinstance(getattr(transformer, attribute), BlockView) for attribute in stacks(transformer).values())


@pytest.mark.parametrize(
    ("name", "most"),
    [("ChromaTransformer2DModel", 3), ("Flux2Transformer2DModel", 3), ("Lumina2Transformer2DModel", 2)],
)
def test_so_it_is_in_models_without_an_adapter(name, most):
    transformer, arguments = small(name)
    arguments = {**arguments, "return_dict": False}
    of = shortened(transformer, most)
    count = sum(of.values())
    with torch.no_grad():
        slow = dict(walk(transformer, arguments, [plan_of(subset, of) for subset in range(2**count)]))
        parts = list(walk_subsets(transformer, arguments, together=4))
    fast = {subset: output for part in parts for subset, output in zip(part.subsets, part.output, strict=True)}
    assert sorted(fast) == sorted(slow)
    for subset, output in slow.items():
        assert torch.allclose(fast[subset], output, rtol=1e-4, atol=1e-5), subset


def test_a_model_that_takes_lists_of_images_is_refused():
    transformer, arguments = small("ZImageTransformer2DModel")
    with pytest.raises(SurgeryError, match="takes one tensor of hidden_states"):
        next(walk_subsets(transformer, arguments))


@FAMILIES
def test_blocks_run_no_more_often_than_sharing_needs(model):
    transformer, arguments = model
    of = shortened(transformer)
    rows = []
    for attribute in stacks(transformer).values():
        for block in getattr(transformer, attribute):
            block.register_forward_pre_hook(
                lambda _, args, kwargs: rows.append(len(kwargs["hidden_states"])), with_kwargs=True
            )
    with torch.no_grad():
        for _ in walk_subsets(transformer, arguments, together=4):
            pass
    needed = subset_block_runs(sum(of.values()))
    assert needed == 2 ** sum(of.values()) - 1
    assert sum(rows) / len(arguments["hidden_states"]) == needed  # 1.3 times as many are allowed

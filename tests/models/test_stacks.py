"""Stacks of blocks by name, in known families, in other models, and behind torch.compile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from harness.errors import SurgeryError
from harness.models.spec import FAMILIES
from harness.models.stacks import find_stack, stacks, transformer_of, unwrap_compiled
from tests.helpers import models


class Other(nn.Module):
    """A model of no known family: one list of equal blocks, one of unequal ones, one of a single block."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
        self.mixed = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])
        self.one = nn.ModuleList([nn.Linear(2, 2)])


@pytest.mark.parametrize(("family", "stack"), models.STACKS)
def test_a_familys_stacks_have_their_names(family, stack):
    transformer, _ = models.FAMILIES[family]()
    name, attribute = find_stack(transformer, stack)
    assert name == stack
    assert len(getattr(transformer, attribute)) > 1
    compiled = torch.compile(transformer)
    assert unwrap_compiled(compiled) is transformer
    assert stacks(compiled) == stacks(transformer)


def test_another_models_stacks_are_its_lists_of_equal_blocks():
    assert stacks(Other()) == {"blocks": "blocks"}
    assert find_stack(Other(), None) == ("blocks", "blocks")


def test_what_is_no_stack_is_named():
    transformer, _ = models.flux()
    with pytest.raises(SurgeryError, match="FluxTransformer2DModel: name one of its stacks; it has double, single"):
        find_stack(transformer, None)
    with pytest.raises(SurgeryError, match="there is no stack 'tripel'; it has double, single"):
        find_stack(transformer, "tripel")
    with pytest.raises(SurgeryError, match="Linear: there is no stack 'a'; it has none"):
        find_stack(nn.Linear(2, 2), "a")


@pytest.mark.parametrize(("family", "stack"), models.STACKS)
def test_a_stack_is_found_by_diffusers_name_too(family, stack):
    transformer, _ = models.FAMILIES[family]()
    attribute = FAMILIES[type(transformer).__name__].diffusers_names
    for theirs, ours in attribute.items():
        assert find_stack(transformer, theirs) == find_stack(transformer, ours) == (ours, theirs)
    assert stack in attribute.values()
    if family == "auraflow":
        with pytest.raises(SurgeryError, match="there is no stack 'transformer_blocks'; it has double, single"):
            find_stack(transformer, "transformer_blocks")


def test_the_transformer_of_a_pipeline_of_a_compiled_model_or_of_nothing():
    transformer, _ = models.flux()
    assert transformer_of(transformer) is transformer
    assert transformer_of(torch.compile(transformer)) is transformer
    assert transformer_of(SimpleNamespace(transformer=transformer, components={})) is transformer
    with pytest.raises(SurgeryError, match=r'not a str; write ablate\(pipeline.transformer, "double: 0-1 3-4"\)'):
        transformer_of("flux-tiny")
    with pytest.raises(SurgeryError, match="not a SimpleNamespace without a transformer, and only diffusion"):
        transformer_of(SimpleNamespace(unet=transformer, components={}))

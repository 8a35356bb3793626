"""Layerwise casting: the images of weights that went through the storage's dtype, and the weights back bitwise."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.models import SPECS
from tests.helpers.samplers import PROMPTS, latents, sampler_of


@pytest.mark.parametrize("family", SPECS)
def test_weights_lose_bits_and_come_back(pipelines, family):
    sampler = sampler_of(pipelines, family)
    control = sampler.sample(PROMPTS, 0).latents
    before = {name: p.clone() for name, p in sampler.transformer.named_parameters()}
    few, _ = latents(sampler, "layerwise-casting.fp8-e4m3")
    more, _ = latents(sampler, "layerwise-casting.bf16")
    assert (few - control).norm() > (more - control).norm() > 0
    assert all(torch.equal(p, before[name]) for name, p in sampler.transformer.named_parameters())
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)

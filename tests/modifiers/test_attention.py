"""Attention backends: nearly the control's images by other kernels, and nothing left active afterwards."""

from __future__ import annotations

import importlib

import pytest
import torch

from harness.errors import CaseError
from tests.helpers.needs import missing, needs
from tests.helpers.samplers import PROMPTS, latents, sampler_of

_BACKENDS = "diffusers.models.attention_dispatch"  # since diffusers 0.35
_SAGE = (
    "FluxTransformer2DModel takes none of diffusers' backends; .* from 0.35 on"
    if missing(_BACKENDS)
    else "FluxPipeline can't run it: Sage Attention backend 'sage' is not usable"
)


@needs(_BACKENDS)
def test_it_computes_by_another_kernel_and_leaves_none_active(pipelines):
    dispatch = importlib.import_module(_BACKENDS)
    sampler = sampler_of(pipelines, "flux")
    control = sampler.sample(PROMPTS, 0).latents
    before = dispatch._AttentionBackendRegistry.get_active_backend()
    plain, _ = latents(sampler, "attention.native-math")
    assert not torch.equal(plain, control)
    assert torch.allclose(plain, control, atol=1e-3)
    assert dispatch._AttentionBackendRegistry.get_active_backend() == before
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


@pytest.mark.parametrize(
    ("family", "text", "message"),
    [
        ("sd3", "attention.native-math", "SD3Transformer2DModel takes none of diffusers' backends; that of Flux"),
        ("flux", "attention.sage", _SAGE),
    ],
)
def test_what_a_model_or_machine_lacks_is_named(pipelines, family, text, message):
    sampler = sampler_of(pipelines, family)
    control = sampler.sample(PROMPTS, 0).latents
    with pytest.raises(CaseError, match=message):
        latents(sampler, text)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)

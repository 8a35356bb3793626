"""Attention backends: nearly the control's images by other kernels, and nothing left active afterwards."""

from __future__ import annotations

import pytest
import torch

from harness.errors import CaseError
from tests.helpers.samplers import PROMPTS, latents, sampler_of

dispatch = pytest.importorskip("diffusers.models.attention_dispatch", reason="diffusers < 0.35 has no backends")


def test_it_computes_by_another_kernel_and_leaves_none_active(pipelines):
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
        ("flux", "attention.sage", "FluxPipeline can't run it: Sage Attention backend 'sage' is not usable"),
    ],
)
def test_what_a_model_or_machine_lacks_is_named(pipelines, family, text, message):
    sampler = sampler_of(pipelines, family)
    control = sampler.sample(PROMPTS, 0).latents
    with pytest.raises(CaseError, match=message):
        latents(sampler, text)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)

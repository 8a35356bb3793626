"""diffusers' caches: the transformer with the cache enabled by hand, what they save, and who has none."""

from __future__ import annotations

import re

import diffusers
import pytest
import torch
from diffusers import hooks

from harness.errors import CaseError, SurgeryError
from tests.helpers.needs import needs
from tests.helpers.samplers import PROMPTS, latents, sampler_of


@pytest.fixture
def sampler(pipelines):
    return sampler_of(pipelines, "flux")


@needs("diffusers.hooks.FirstBlockCacheConfig")
def test_it_is_the_transformer_with_the_cache_enabled(sampler):
    control = sampler.sample(PROMPTS, 0).latents
    cached, cost = latents(sampler, "first-block-cache.t9000")
    assert 0 < cost < 1
    sampler.transformer.enable_cache(hooks.FirstBlockCacheConfig(threshold=9.0))
    try:
        assert torch.equal(sampler.sample(PROMPTS, 0).latents, cached)
    finally:
        sampler.transformer.disable_cache()
    assert not torch.equal(cached, control)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("taylorseer-cache.n2.b1", marks=needs("diffusers.hooks.TaylorSeerCacheConfig")),
        pytest.param("mag-cache.t9000", marks=needs("diffusers.hooks.MagCacheConfig")),
        "pyramid-attention",
    ],
)
def test_each_leaves_work_out_and_goes_without_a_trace(sampler, text):
    control = sampler.sample(PROMPTS, 0).latents
    cached, cost = latents(sampler, text)
    assert 0 < cost < 1
    assert not torch.equal(cached, control)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


@needs("diffusers.hooks.FirstBlockCacheConfig")
def test_a_cache_that_is_never_used_is_an_error(sampler):
    with pytest.raises(SurgeryError, match=r"first-block-cache\.t0: the cache was never used in 4 forwards"):
        latents(sampler, "first-block-cache.t0")


@pytest.mark.parametrize(
    ("family", "text", "message"),
    [
        pytest.param(
            *("sd3", "first-block-cache", r"SD3Transformer2DModel of diffusers has no caches .*FluxTransformer2DModel"),
            marks=needs("diffusers.hooks.FirstBlockCacheConfig"),
        ),
        pytest.param(
            *("auraflow", "mag-cache", r"AuraFlowTransformer2DModel of diffusers has no caches"),
            marks=needs("diffusers.hooks.MagCacheConfig"),
        ),
        pytest.param(
            *("flux", "sea-cache", "for Cosmos3OmniTransformer, and not for FluxTransformer2DModel"),
            marks=needs("diffusers.hooks.SeaCacheConfig"),
        ),
        pytest.param(
            *("flux", "text-kv-cache", "for NucleusMoEImageTransformer2DModel, and not for Flux"),
            marks=needs("diffusers.hooks.TextKVCacheConfig"),
        ),
        ("flux", "faster-cache", r"for blocks with attn1 \(CogVideoXTransformer3DModel\), and FluxTransformer2DModel"),
    ],
)
def test_a_class_without_it_is_told_which_have_it(pipelines, family, text, message):
    with pytest.raises(CaseError, match=message):
        latents(sampler_of(pipelines, family), text)


def test_a_cache_that_this_diffusers_does_not_have_is_refused_with_the_release(sampler, monkeypatch):
    monkeypatch.delattr(hooks, "MagCacheConfig", raising=False)  # as in diffusers 0.33.1
    release = re.escape(diffusers.__version__)
    message = rf"'mag-cache\.t9000': diffusers {release} has no MagCacheConfig; it needs diffusers >= 0\.37"
    with pytest.raises(CaseError, match=message):
        latents(sampler, "mag-cache.t9000")

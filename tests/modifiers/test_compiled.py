"""torch.compile: nearly the control's images; where there is no C++ compiler it is refused by name."""

from __future__ import annotations

import shutil

import pytest
import torch

from tests.helpers.samplers import PROMPTS, latents, sampler_of


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler here")
def test_compiled_blocks_give_nearly_the_same_images(pipelines, monkeypatch):
    # Without a backend's code generation, which takes minutes: what is captured and called is the same.
    own = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: own(function, backend="eager"))
    sampler = sampler_of(pipelines, "flux", steps=1)
    before = [vars(module).get("forward") for module in sampler.transformer.modules()]
    control = sampler.sample(PROMPTS, 0).latents
    compiled, _ = latents(sampler, "compile.blocks")
    assert torch.allclose(compiled, control, atol=1e-3)
    assert [vars(module).get("forward") for module in sampler.transformer.modules()] == before
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)

"""Latents are packed as the pipeline packs them."""

from __future__ import annotations

import torch

from harness.tiny.flux import pack


def test_packing_is_the_pipelines():
    from diffusers import FluxPipeline

    latents = torch.randn(2, 8, 10, 10)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 8, 10, 10))

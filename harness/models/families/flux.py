"""FLUX.1: T5 states and CLIP's pooled vector, latents packed two by two, guidance distilled into the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.families.base import (
    Conditions,
    FamilyAdapter,
    Patches,
    StandardNormal,
    TextEncoder,
    vae_latents,
)
from harness.models.spec import Settings

_PACK = 2  # latents a side of a token


class Flux(FamilyAdapter):
    """FluxPipeline."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """T5 states (N, tokens, d) and CLIP's pooled vectors (N, d)."""
        states, pooled, _ = pipeline.encode_prompt(
            prompt=list(prompts), prompt_2=None, max_sequence_length=settings.max_sequence_length
        )
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled}

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """(1, tokens, channels) packed latents."""
        channels = pipeline.transformer.config.in_channels // _PACK**2
        latents, _ = pipeline.prepare_latents(
            1, channels, settings.height, settings.width, torch.float32, torch.device("cpu"), generator
        )
        return latents

    def text_encoders(self, pipeline: Any, settings: Settings) -> tuple[TextEncoder, ...]:
        """T5 reads all of a prompt; CLIP gives one vector of its beginning."""
        clip, t5 = pipeline.tokenizer, pipeline.tokenizer_2
        return (
            TextEncoder("text_encoder_2", t5, settings.max_sequence_length, required=True),
            TextEncoder("text_encoder", clip, clip.model_max_length, required=False),
        )

    def text_tokens(self, masks: Mapping[str, Tensor], length: int, transformer: nn.Module) -> Tensor:  # noqa: ARG002
        """T5's tokens: CLIP gives a pooled vector alone."""
        return masks["text_encoder_2"]

    def patches(self, config: Mapping[str, Any]) -> Patches:  # noqa: ARG002 - the pipeline packs, by a fixed rule
        """Packs of 2 x 2; rotary positions have no limit."""
        return Patches(_PACK)

    def random_inputs(
        self, config: Mapping[str, Any], settings: Settings, grid: tuple[int, int], normal: StandardNormal
    ) -> dict[str, Tensor]:
        """Packed latents (B, tokens, channels), their (row, column) ids, text (B, T, d) with ids of zero."""
        batch, text = settings.batch, settings.max_sequence_length
        rows, columns = grid
        ids = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
        image_ids = torch.cat([torch.zeros(len(ids), 1, dtype=ids.dtype), ids], dim=1)
        inputs = {
            "hidden_states": normal(batch, len(ids), config["in_channels"]),
            "encoder_hidden_states": normal(batch, text, config["joint_attention_dim"]),
            "pooled_projections": normal(batch, config["pooled_projection_dim"]),
            "img_ids": image_ids.to(normal.device, normal.dtype),
            "txt_ids": torch.zeros(text, 3, device=normal.device, dtype=normal.dtype),
        }
        if config.get("guidance_embeds"):
            inputs["guidance"] = torch.full((batch,), settings.guidance, device=normal.device)  # fp32 in the pipeline
        return inputs

    def latents_from_pixels(self, pipeline: Any, pixels: Tensor) -> Tensor:
        """(N, tokens, channels) packed latents."""
        latents = vae_latents(pipeline, pixels, shift=pipeline.vae.config.shift_factor or 0.0)
        return pipeline._pack_latents(latents, *latents.shape)  # noqa: SLF001 - the layout is the pipeline's own

"""Stable Diffusion 3: two CLIPs and T5 in one text sequence, classifier-free guidance in one batch."""

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
    unpacked_noise,
    vae_latents,
)
from harness.models.spec import Settings

_CLIP_TOKENS = 77  # of the real checkpoints' CLIPs, whose states stand before T5's


class Sd3(FamilyAdapter):
    """StableDiffusion3Pipeline."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """States (N, CLIP + T5 tokens, d) and pooled vectors (N, d)."""
        guided = self.family.guided(settings)
        states, negative, pooled, negative_pooled = pipeline.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            prompt_3=None,
            negative_prompt=settings.negative_prompt,
            do_classifier_free_guidance=guided,
            max_sequence_length=settings.max_sequence_length,
        )
        conditions = {"prompt_embeds": states, "pooled_prompt_embeds": pooled}
        if guided:
            conditions |= {"negative_prompt_embeds": negative, "negative_pooled_prompt_embeds": negative_pooled}
        return conditions

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """(1, channels, height, width)."""
        return unpacked_noise(pipeline, settings, generator)

    def text_encoders(self, pipeline: Any, settings: Settings) -> tuple[TextEncoder, ...]:
        """Both CLIPs cut at 77 tokens; T5, where it wasn't dropped to save memory, reads the rest."""
        has_t5 = pipeline.text_encoder_3 is not None
        clips = tuple(
            TextEncoder(name, tokenizer, pipeline.tokenizer_max_length, required=not has_t5)
            for name, tokenizer in (("text_encoder", pipeline.tokenizer), ("text_encoder_2", pipeline.tokenizer_2))
        )
        t5 = (TextEncoder("text_encoder_3", pipeline.tokenizer_3, settings.max_sequence_length, required=True),)
        return (*t5, *clips) if has_t5 else clips

    def text_tokens(self, masks: Mapping[str, Tensor], length: int, transformer: nn.Module) -> Tensor:  # noqa: ARG002
        """Two CLIPs side by side in the same tokens, then T5; where that was dropped, the pipeline has zeros there."""
        clip = masks["text_encoder"] | masks["text_encoder_2"]
        t5 = masks.get("text_encoder_3", clip.new_zeros(len(clip), length - clip.shape[1]))
        return torch.cat([clip, t5], dim=1)

    def patches(self, config: Mapping[str, Any]) -> Patches:
        """Patches with learned positions, as many as the config says."""
        return Patches(config["patch_size"], config["pos_embed_max_size"])

    def random_inputs(
        self, config: Mapping[str, Any], settings: Settings, grid: tuple[int, int], normal: StandardNormal
    ) -> dict[str, Tensor]:
        """Latents (B, channels, h, w), CLIP's and T5's states (B, 77 + T, d), pooled vectors (B, d)."""
        batch, text = settings.batch, settings.max_sequence_length
        height, width = (side * config["patch_size"] for side in grid)
        return {
            "hidden_states": normal(batch, config["in_channels"], height, width),
            "encoder_hidden_states": normal(batch, min(_CLIP_TOKENS, text) + text, config["joint_attention_dim"]),
            "pooled_projections": normal(batch, config["pooled_projection_dim"]),
        }

    def latents_from_pixels(self, pipeline: Any, pixels: Tensor) -> Tensor:
        """(N, channels, h, w)."""
        return vae_latents(pipeline, pixels, shift=pipeline.vae.config.shift_factor or 0.0)

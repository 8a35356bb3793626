"""AuraFlow: UMT5 states with zeros for padding, classifier-free guidance in one batch."""

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


class AuraFlow(FamilyAdapter):
    """AuraFlowPipeline."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """States (N, tokens, d) and their masks (N, tokens)."""
        guided = self.family.guided(settings)
        states, mask, negative, negative_mask = pipeline.encode_prompt(
            prompt=list(prompts),
            # A list: one string would be encoded once, and its embedding wouldn't match the prompts' number.
            negative_prompt=[settings.negative_prompt] * len(prompts),
            do_classifier_free_guidance=guided,
            max_sequence_length=settings.max_sequence_length,
        )
        conditions = {"prompt_embeds": states, "prompt_attention_mask": mask}
        if guided:
            conditions |= {"negative_prompt_embeds": negative, "negative_prompt_attention_mask": negative_mask}
        return conditions

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """(1, channels, height, width)."""
        return unpacked_noise(pipeline, settings, generator)

    def text_encoders(self, pipeline: Any, settings: Settings) -> tuple[TextEncoder, ...]:
        """UMT5 alone."""
        return (TextEncoder("text_encoder", pipeline.tokenizer, settings.max_sequence_length, required=True),)

    def text_tokens(self, masks: Mapping[str, Tensor], length: int, transformer: nn.Module) -> Tensor:  # noqa: ARG002
        """UMT5's tokens, behind the transformer's registers.

        Registers are no padding, but no text either: learned constants, the same for every prompt. They are left
        out, so that text means the same in all families and doesn't weigh less in short prompts.
        """
        text = masks["text_encoder"]
        registers: Any = transformer.register_tokens
        return torch.cat([text.new_zeros(len(text), registers.shape[1]), text], dim=1)

    def patches(self, config: Mapping[str, Any]) -> Patches:
        """Patches with learned positions; the config gives the number in the whole square."""
        return Patches(config["patch_size"], int(config["pos_embed_max_size"] ** 0.5))

    def random_inputs(
        self, config: Mapping[str, Any], settings: Settings, grid: tuple[int, int], normal: StandardNormal
    ) -> dict[str, Tensor]:
        """Latents (B, channels, h, w) and text (B, T, d); the model adds its register tokens itself."""
        batch, text = settings.batch, settings.max_sequence_length
        height, width = (side * config["patch_size"] for side in grid)
        return {
            "hidden_states": normal(batch, config["in_channels"], height, width),
            "encoder_hidden_states": normal(batch, text, config["joint_attention_dim"]),
        }

    def latents_from_pixels(self, pipeline: Any, pixels: Tensor) -> Tensor:
        """(N, channels, h, w). The pipeline divides latents by their scale and knows no shift."""
        return vae_latents(pipeline, pixels, shift=0.0)

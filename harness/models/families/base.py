"""What differs between families: how prompts are encoded, latents drawn, and which arguments the call takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from harness.models.checkpoints.resolve import Settings

Conditions = dict[str, Tensor]


class Adapter(Protocol):
    """What one family's pipeline needs. Every tensor of ``encode`` has the prompts as its first dimension."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """What the pipeline makes of prompts, as arguments of its call."""
        ...

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """Initial latents of one image, fp32 on the CPU, by the pipeline's own drawing."""
        ...

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """The other arguments of the call."""
        ...

    def words(self, settings: Settings) -> dict[str, Any]:
        """Arguments that go with plain prompts only, since ``encode`` has already turned them into tensors."""
        ...

    def encoders(self, pipeline: Any, settings: Settings) -> tuple[Encoder, ...]:
        """The text encoders that a prompt goes through."""
        ...


@dataclass(frozen=True)
class Encoder:
    """One text encoder's appetite: ``limit`` tokens of its ``tokenizer``, special ones included.

    ``alone`` says that nothing else would read what it cuts off.
    """

    name: str
    tokenizer: Any
    limit: int
    alone: bool

    def length(self, prompt: str) -> int:
        """The tokens of a prompt, the special ones included."""
        return len(self.tokenizer(prompt, truncation=False, verbose=False).input_ids)


class Flux:
    """FluxPipeline: T5 states, CLIP's pooled vector, packed latents."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """T5 states (N, tokens, d) and CLIP's pooled vector (N, d)."""
        states, pooled, _ = pipeline.encode_prompt(
            prompt=list(prompts), prompt_2=None, max_sequence_length=settings.max_sequence_length
        )
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled}

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """(1, tokens, channels) packed latents, by the pipeline's own drawing."""
        channels = pipeline.transformer.config.in_channels // 4
        latents, _ = pipeline.prepare_latents(
            1, channels, settings.height, settings.width, torch.float32, torch.device("cpu"), generator
        )
        return latents

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Everything with a default that suits no small model is given."""
        return _common(settings)

    def words(self, settings: Settings) -> dict[str, Any]:  # noqa: ARG002 - FLUX's guidance is a number it was told
        """None: guidance is distilled into the model."""
        return {}

    def encoders(self, pipeline: Any, settings: Settings) -> tuple[Encoder, ...]:
        """T5 reads all of a prompt; CLIP gives one vector of its beginning."""
        clip, t5 = pipeline.tokenizer, pipeline.tokenizer_2
        return (
            Encoder("text_encoder_2", t5, settings.max_sequence_length, alone=True),
            Encoder("text_encoder", clip, clip.model_max_length, alone=False),
        )


class _Guided:
    """What SD3 and AuraFlow share: plain latents, and classifier-free guidance with both passes in one batch."""

    def noise(self, pipeline: Any, settings: Settings, generator: torch.Generator) -> Tensor:
        """(1, channels, height, width) latents, by the pipeline's own drawing."""
        channels = pipeline.transformer.config.in_channels
        return pipeline.prepare_latents(
            1, channels, settings.height, settings.width, torch.float32, torch.device("cpu"), generator
        )

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Size, steps, guidance, length."""
        return _common(settings)

    def words(self, settings: Settings) -> dict[str, Any]:
        """The negative prompt."""
        return {"negative_prompt": settings.negative_prompt} if _guided(settings) else {}


class Sd3(_Guided):
    """StableDiffusion3Pipeline: two CLIPs and T5 in one sequence, classifier-free guidance in one batch."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """States (N, CLIP + T5 tokens, d) and pooled vectors (N, d); under guidance the negative prompt's, too."""
        guided = _guided(settings)
        states, negative, pooled, negative_pooled = pipeline.encode_prompt(
            prompt=list(prompts),
            prompt_2=None,
            prompt_3=None,
            negative_prompt=settings.negative_prompt,
            do_classifier_free_guidance=guided,
            max_sequence_length=settings.max_sequence_length,
        )
        found = {"prompt_embeds": states, "pooled_prompt_embeds": pooled}
        if guided:
            found |= {"negative_prompt_embeds": negative, "negative_pooled_prompt_embeds": negative_pooled}
        return found

    def encoders(self, pipeline: Any, settings: Settings) -> tuple[Encoder, ...]:
        """Both CLIPs cut at 77 tokens; T5, where it wasn't dropped to save memory, reads the rest."""
        whole = pipeline.text_encoder_3 is not None
        clips = tuple(
            Encoder(name, tokenizer, pipeline.tokenizer_max_length, alone=not whole)
            for name, tokenizer in (("text_encoder", pipeline.tokenizer), ("text_encoder_2", pipeline.tokenizer_2))
        )
        t5 = (Encoder("text_encoder_3", pipeline.tokenizer_3, settings.max_sequence_length, alone=True),)
        return (*t5, *clips) if whole else clips


class AuraFlow(_Guided):
    """AuraFlowPipeline: UMT5 states with zeros for pads, classifier-free guidance in one batch."""

    def encode(self, pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditions:
        """States (N, tokens, d) and their masks (N, tokens); under guidance the negative prompt's, too."""
        guided = _guided(settings)
        states, mask, negative, negative_mask = pipeline.encode_prompt(
            prompt=list(prompts),
            # A list: one string would be encoded once, and its embedding wouldn't match the prompts' number.
            negative_prompt=[settings.negative_prompt] * len(prompts),
            do_classifier_free_guidance=guided,
            max_sequence_length=settings.max_sequence_length,
        )
        found = {"prompt_embeds": states, "prompt_attention_mask": mask}
        if guided:
            found |= {"negative_prompt_embeds": negative, "negative_prompt_attention_mask": negative_mask}
        return found

    def encoders(self, pipeline: Any, settings: Settings) -> tuple[Encoder, ...]:
        """UMT5 alone."""
        return (Encoder("text_encoder", pipeline.tokenizer, settings.max_sequence_length, alone=True),)


def _common(settings: Settings) -> dict[str, Any]:
    return {
        "height": settings.height,
        "width": settings.width,
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "max_sequence_length": settings.max_sequence_length,
    }


def _guided(settings: Settings) -> bool:
    return settings.guidance > 1.0  # as both pipelines decide


ADAPTERS: dict[str, Adapter] = {"flux": Flux(), "sd3": Sd3(), "auraflow": AuraFlow()}

"""auraflow-tiny: a small trained AuraFlow in diffusers' own classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
)
from torch import Tensor
from transformers import T5TokenizerFast

from harness.tiny import flow, text, tokens, vae
from harness.tiny.fit import Recipe

_DOUBLE_BLOCKS = 6  # of four, the middle would be two blocks that show nothing
_SINGLE_BLOCKS = 10
_SHIFT = 1.73  # AuraFlow v0.2's
CALL = {"num_inference_steps": 4, "guidance_scale": 1.0, "max_sequence_length": tokens.T5_LENGTH}
WIDTH = 64
RECIPE = Recipe(steps=2600, batch=128, rate=2e-3, seed=51)


def _build_transformer() -> AuraFlowTransformer2DModel:
    """An untrained transformer: 8 register + 20 text + 25 image tokens of width 96."""
    model = AuraFlowTransformer2DModel(
        sample_size=vae.LATENT_SIDE,
        patch_size=2,
        in_channels=vae.LATENT_CHANNELS,
        out_channels=vae.LATENT_CHANNELS,
        num_mmdit_layers=_DOUBLE_BLOCKS,
        num_single_dit_layers=_SINGLE_BLOCKS,
        attention_head_dim=32,
        num_attention_heads=3,
        joint_attention_dim=WIDTH,
        caption_projection_dim=96,
        pos_embed_max_size=64,
    )
    flow.calm(model)
    return model


def build_pipeline(tokenizers: Path, autoencoder: AutoencoderKL) -> AuraFlowPipeline:
    """An untrained pipeline around a trained autoencoder; writes the tokenizer files first."""
    write_tokenizers(tokenizers)
    return AuraFlowPipeline(
        tokenizer=T5TokenizerFast.from_pretrained(tokenizers / "tokenizer"),
        text_encoder=text.build_umt5(width=WIDTH),
        vae=autoencoder,
        transformer=_build_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=_SHIFT),
    )


def write_tokenizers(folder: Path) -> None:
    """The files of the tokenizer."""
    tokens.write_t5(folder / "tokenizer")


def train(folder: Path, autoencoder: AutoencoderKL, device: torch.device, recipe: Recipe = RECIPE) -> AuraFlowPipeline:
    """Pretrain the text encoder, then train it jointly with the transformer."""
    torch.manual_seed(recipe.seed)
    pipeline = build_pipeline(folder / "auraflow-tokenizers", autoencoder).to(device)
    umt5 = text.Bidirectional(pipeline.text_encoder, pipeline.tokenizer, tokens.T5_LENGTH, WIDTH, masked=True)
    text.train("auraflow", folder, (umt5,), device)
    # AuraFlowPipeline divides by the scaling factor and knows no shift: its latents keep their mean.
    mean = autoencoder.config["shift_factor"] * autoencoder.config["scaling_factor"]

    def velocity(noisy: Tensor, time: Tensor, ids: Sequence[Tensor]) -> Tensor:
        return pipeline.transformer(
            hidden_states=noisy,
            encoder_hidden_states=umt5.states(ids[0]),
            timestep=time,
            return_dict=False,
        )[0]

    subject = flow.Subject(
        name="auraflow",
        pipeline=pipeline,
        shadow=build_pipeline(folder / "auraflow-tokenizers", autoencoder).to(device),
        readers={"text_encoder": umt5},
        clean=lambda latents: latents + mean,
        velocity=velocity,
        call=CALL,
        guided=True,
    )
    return flow.train(subject, autoencoder, recipe, folder, device)

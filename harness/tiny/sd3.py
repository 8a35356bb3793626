"""sd3-tiny: a small trained Stable Diffusion 3 in diffusers' own classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import Tensor
from transformers import CLIPTokenizer, T5TokenizerFast

from harness.tiny import flow, text, tokens, vae
from harness.tiny.fit import Recipe

_BLOCKS = 12
_SHIFT = 1.5
CALL = {
    "num_inference_steps": 4,
    "guidance_scale": 1.5,
    "max_sequence_length": tokens.T5_LENGTH,
    "negative_prompt": flow.SPOILED,
}
# start + 16 words + end, and two to spare: SD3 attends to every pad of both encoders.
_CLIP_LENGTH = 20
_CLIP_WIDTH = 32
_WIDTH = 64  # of T5; at least the two CLIPs side by side, or diffusers crops them silently
RECIPE = Recipe(steps=3200, batch=128, rate=2e-3, seed=41)


def _build_transformer() -> SD3Transformer2DModel:
    """An untrained transformer: 25 image + 40 text tokens of width 96."""
    model = SD3Transformer2DModel(
        sample_size=vae.LATENT_SIDE,
        patch_size=2,
        in_channels=vae.LATENT_CHANNELS,
        out_channels=vae.LATENT_CHANNELS,
        num_layers=_BLOCKS,
        attention_head_dim=32,
        num_attention_heads=3,
        joint_attention_dim=_WIDTH,
        caption_projection_dim=96,
        pooled_projection_dim=2 * _CLIP_WIDTH,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
    )
    flow.calm(model)
    return model


def build_pipeline(tokenizers: Path, autoencoder: AutoencoderKL) -> StableDiffusion3Pipeline:
    """An untrained pipeline around a trained autoencoder; writes the tokenizer files first."""
    write_tokenizers(tokenizers)
    size, end = tokens.clip_vocabulary(tokenizers / "tokenizer")
    clips = [
        text.build_clip(size, end, width=_CLIP_WIDTH, layers=3, length=_CLIP_LENGTH, project=True) for _ in range(2)
    ]
    return StableDiffusion3Pipeline(
        transformer=_build_transformer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=_SHIFT),
        vae=autoencoder,
        text_encoder=clips[0],
        tokenizer=CLIPTokenizer.from_pretrained(tokenizers / "tokenizer"),
        text_encoder_2=clips[1],
        tokenizer_2=CLIPTokenizer.from_pretrained(tokenizers / "tokenizer_2"),
        text_encoder_3=text.build_t5(width=_WIDTH),
        tokenizer_3=T5TokenizerFast.from_pretrained(tokenizers / "tokenizer_3"),
    )


def write_tokenizers(folder: Path) -> None:
    """The files of the three tokenizers."""
    for name in ("tokenizer", "tokenizer_2"):
        tokens.write_clip(folder / name, _CLIP_LENGTH)
    tokens.write_t5(folder / "tokenizer_3")


def train(
    folder: Path, autoencoder: AutoencoderKL, device: torch.device, recipe: Recipe = RECIPE
) -> StableDiffusion3Pipeline:
    """Pretrain the text encoders, then train them jointly with the transformer."""
    torch.manual_seed(recipe.seed)
    pipeline = build_pipeline(folder / "sd3-tokenizers", autoencoder).to(device)
    clips = [
        text.CausalClip(encoder, tokenizer, _CLIP_LENGTH, _CLIP_WIDTH)
        for encoder, tokenizer in (
            (pipeline.text_encoder, pipeline.tokenizer),
            (pipeline.text_encoder_2, pipeline.tokenizer_2),
        )
    ]
    t5 = text.Bidirectional(pipeline.text_encoder_3, pipeline.tokenizer_3, tokens.T5_LENGTH, _WIDTH, masked=False)
    text.train("sd3", folder, (*clips, t5), device)

    def velocity(noisy: Tensor, time: Tensor, ids: Sequence[Tensor]) -> Tensor:
        read = [clip.encoder(ids[k], output_hidden_states=True) for k, clip in enumerate(clips)]
        states = torch.cat([out.hidden_states[-2] for out in read], dim=-1)
        return pipeline.transformer(
            hidden_states=noisy,
            timestep=1000 * time,
            encoder_hidden_states=torch.cat([states, t5.states(ids[2])], dim=1),
            pooled_projections=torch.cat([out.text_embeds for out in read], dim=-1),
            return_dict=False,
        )[0]

    subject = flow.Subject(
        name="sd3",
        pipeline=pipeline,
        shadow=build_pipeline(folder / "sd3-tokenizers", autoencoder).to(device),
        readers={"text_encoder": clips[0], "text_encoder_2": clips[1], "text_encoder_3": t5},
        clean=lambda latents: latents,
        velocity=velocity,
        call=CALL,
        guided=True,
    )
    return flow.train(subject, autoencoder, recipe, folder, device)

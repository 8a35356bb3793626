"""flux-tiny: a small trained FLUX in diffusers' own classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTokenizer, T5TokenizerFast

from harness.tiny import flow, render, text, tokens, vae
from harness.tiny.fit import Recipe

DOUBLE_BLOCKS = 5
SINGLE_BLOCKS = 10
SHIFT = 1.5  # the scheduler's static shift; not 1, so that a change in shift handling can show
STEPS = 4
GUIDANCE = 0.0  # schnell-like: no guidance embedding, no classifier-free guidance
SIDE_TOKENS = vae.LATENT_SIDE // 2
RECIPE = Recipe(steps=3000, batch=128, rate=2e-3, seed=31)


def build_transformer() -> FluxTransformer2DModel:
    """An untrained transformer: 25 image + 20 text tokens of width 96."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * vae.LATENT_CHANNELS,
        num_layers=DOUBLE_BLOCKS,
        num_single_layers=SINGLE_BLOCKS,
        attention_head_dim=32,
        num_attention_heads=3,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    flow.calm(model)
    return model


def build_pipeline(tokenizers: Path, autoencoder: AutoencoderKL) -> FluxPipeline:
    """An untrained pipeline around a trained autoencoder; writes the tokenizer files first."""
    tokens.write_clip(tokenizers / "tokenizer")
    tokens.write_t5(tokenizers / "tokenizer_2")
    size, end = tokens.clip_vocabulary(tokenizers / "tokenizer")
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=autoencoder,
        text_encoder=text.build_clip(size, end),
        tokenizer=CLIPTokenizer.from_pretrained(tokenizers / "tokenizer"),
        text_encoder_2=text.build_t5(),
        tokenizer_2=T5TokenizerFast.from_pretrained(tokenizers / "tokenizer_2"),
        transformer=build_transformer(),
    )


def generate(
    pipeline: FluxPipeline, prompts: list[str], seed: int, steps: int = STEPS, batch: int = 128
) -> npt.NDArray[np.uint8]:
    """uint8 NCHW images of the prompts, through the pipeline's own ``__call__``."""
    pipeline.set_progress_bar_config(disable=True)
    parts: list[npt.NDArray[np.uint8]] = []
    for start in range(0, len(prompts), batch):
        images = pipeline(
            prompts[start : start + batch],
            height=render.SIDE,
            width=render.SIDE,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            max_sequence_length=tokens.T5_LENGTH,
            generator=torch.Generator("cpu").manual_seed(seed * 1_000_003 + start),
            output_type="np",
        ).images
        parts.append(np.round(images * 255).astype(np.uint8).transpose(0, 3, 1, 2))
    return np.concatenate(parts)


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H/2 * W/2, 4C), as FluxPipeline packs."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def train(folder: Path, autoencoder: AutoencoderKL, device: torch.device, recipe: Recipe = RECIPE) -> FluxPipeline:
    """Pretrain the text encoders, then train them jointly with the transformer."""
    torch.manual_seed(recipe.seed)
    pipeline = build_pipeline(folder / "flux-tokenizers", autoencoder).to(device)
    text.train(folder, pipeline.text_encoder, pipeline.tokenizer, pipeline.text_encoder_2, pipeline.tokenizer_2, device)
    image_ids = FluxPipeline._prepare_latent_image_ids(1, SIDE_TOKENS, SIDE_TOKENS, device, torch.float32)
    text_ids = torch.zeros(tokens.T5_LENGTH, 3, device=device)

    def tokenize(captions: Sequence[str]) -> tuple[Tensor, ...]:
        both = (pipeline.tokenizer, pipeline.tokenizer_2)
        return tuple(torch.tensor(tok(list(captions), padding="max_length")["input_ids"]) for tok in both)

    def velocity(noisy: Tensor, time: Tensor, ids: Sequence[Tensor]) -> Tensor:
        return pipeline.transformer(
            hidden_states=noisy,
            timestep=time,
            pooled_projections=pipeline.text_encoder(ids[0]).pooler_output,
            encoder_hidden_states=pipeline.text_encoder_2(ids[1]).last_hidden_state,
            txt_ids=text_ids,
            img_ids=image_ids,
            return_dict=False,
        )[0]

    subject = flow.Subject(
        name="flux",
        pipeline=pipeline,
        shadow=build_pipeline(folder / "flux-tokenizers", autoencoder).to(device),
        trained=("transformer", "text_encoder", "text_encoder_2"),
        tokenize=tokenize,
        clean=pack,
        velocity=velocity,
        generate=generate,
    )
    return flow.train(subject, autoencoder, recipe, folder, device)

"""flux-tiny: a small trained FLUX in diffusers' own classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTokenizer, T5TokenizerFast

from harness.tiny import flow, text, tokens, vae
from harness.tiny.fit import Recipe

_DOUBLE_BLOCKS = 5
_SINGLE_BLOCKS = 10
_SHIFT = 1.5  # the scheduler's static shift; not 1, so that a change in shift handling can show
# schnell-like: no guidance embedding, no classifier-free guidance
CALL = {"num_inference_steps": 4, "guidance_scale": 0.0, "max_sequence_length": tokens.T5_LENGTH}
_WIDTH = 64  # of the text encoders
_SIDE_TOKENS = vae.LATENT_SIDE // 2
RECIPE = Recipe(steps=3000, batch=128, rate=2e-3, seed=31)


def _build_transformer() -> FluxTransformer2DModel:
    """An untrained transformer: 25 image + 20 text tokens of width 96."""
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * vae.LATENT_CHANNELS,
        num_layers=_DOUBLE_BLOCKS,
        num_single_layers=_SINGLE_BLOCKS,
        attention_head_dim=32,
        num_attention_heads=3,
        joint_attention_dim=_WIDTH,
        pooled_projection_dim=_WIDTH,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    flow.calm(model)
    return model


def build_pipeline(tokenizers: Path, autoencoder: AutoencoderKL) -> FluxPipeline:
    """An untrained pipeline around a trained autoencoder; writes the tokenizer files first."""
    write_tokenizers(tokenizers)
    size, end = tokens.clip_vocabulary(tokenizers / "tokenizer")
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=_SHIFT),
        vae=autoencoder,
        text_encoder=text.build_clip(size, end),
        tokenizer=CLIPTokenizer.from_pretrained(tokenizers / "tokenizer"),
        text_encoder_2=text.build_t5(),
        tokenizer_2=T5TokenizerFast.from_pretrained(tokenizers / "tokenizer_2"),
        transformer=_build_transformer(),
    )


def write_tokenizers(folder: Path) -> None:
    """The files of the two tokenizers."""
    tokens.write_clip(folder / "tokenizer")
    tokens.write_t5(folder / "tokenizer_2")


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H/2 * W/2, 4C), as FluxPipeline packs."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def train(folder: Path, autoencoder: AutoencoderKL, device: torch.device, recipe: Recipe = RECIPE) -> FluxPipeline:
    """Pretrain the text encoders, then train them jointly with the transformer."""
    torch.manual_seed(recipe.seed)
    pipeline = build_pipeline(folder / "flux-tokenizers", autoencoder).to(device)
    clip = text.PooledClip(
        pipeline.text_encoder, pipeline.tokenizer, tokens.CLIP_LENGTH, pipeline.text_encoder.config.hidden_size
    )
    t5 = text.Bidirectional(pipeline.text_encoder_2, pipeline.tokenizer_2, tokens.T5_LENGTH, _WIDTH, masked=False)
    text.train("flux", folder, (clip, t5), device)
    image_ids = FluxPipeline._prepare_latent_image_ids(1, _SIDE_TOKENS, _SIDE_TOKENS, device, torch.float32)
    text_ids = torch.zeros(tokens.T5_LENGTH, 3, device=device)

    def velocity(noisy: Tensor, time: Tensor, ids: Sequence[Tensor]) -> Tensor:
        return pipeline.transformer(
            hidden_states=noisy,
            timestep=time,
            pooled_projections=pipeline.text_encoder(ids[0]).pooler_output,
            encoder_hidden_states=t5.states(ids[1]),
            txt_ids=text_ids,
            img_ids=image_ids,
            return_dict=False,
        )[0]

    subject = flow.Subject(
        name="flux",
        pipeline=pipeline,
        shadow=build_pipeline(folder / "flux-tokenizers", autoencoder).to(device),
        readers={"text_encoder": clip, "text_encoder_2": t5},
        clean=pack,
        velocity=velocity,
        call=CALL,
    )
    return flow.train(subject, autoencoder, recipe, folder, device)

"""The bundled autoencoder: one small AutoencoderKL that all tiny pipelines share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from harness.results.arrays import Images
from harness.tiny import checker, render, world
from harness.tiny.fit import Recipe, fit

_FACTOR = 4
LATENT_CHANNELS = 8
LATENT_SIDE = render.SIDE // _FACTOR
RECIPE = Recipe(
    steps=3000, batch=64, rate=2e-3, seed=11, betas=(0.9, 0.99), weight_decay=0.0, decay_from=0.4, ema=0.995
)


def build() -> AutoencoderKL:
    """An untrained autoencoder: 40 px to 10 x 10 x 8."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=render.SIDE,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


def to_tensor(images: Images, device: torch.device) -> Tensor:
    """uint8 NCHW to float32 in -1..1."""
    return torch.from_numpy(images).to(device, torch.float32).div_(127.5).sub_(1.0)


def _to_images(pixels: Tensor) -> Images:
    """Float in -1..1 to uint8 NCHW, as diffusers' image processor rounds."""
    scaled = pixels.detach().float().div(2).add(0.5).clamp(0, 1).mul(255).round()
    return scaled.to("cpu", torch.uint8).numpy()


def reconstruct(vae: AutoencoderKL, images: Images) -> Images:
    """Images through the encoder's mean and the decoder."""
    with torch.inference_mode():
        latent = vae.encode(to_tensor(images, vae.device).to(vae.dtype)).latent_dist.mode()
        return _to_images(vae.decode(latent).sample)


def train(folder: Path, device: torch.device, recipe: Recipe = RECIPE) -> AutoencoderKL:
    """Train the autoencoder (L1 + 2 MSE + 2e-3 KL) and set its scaling and shift from its latents."""
    torch.manual_seed(recipe.seed)
    vae = build().to(device, memory_format=torch.channels_last)
    probe = world.sample_split(256, np.random.default_rng(recipe.seed), unseen=True)
    truth = render.render(probe)

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        images = render.render(world.sample_split(recipe.batch, rng, unseen=False))
        pixels = to_tensor(images, device).contiguous(memory_format=torch.channels_last)
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**31)))
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            decoded = vae.decode(posterior.sample(generator)).sample
        error = decoded.float() - pixels
        divergence = posterior.kl().mean() / (LATENT_CHANNELS * LATENT_SIDE**2)
        value = error.abs().mean() + 2 * error.square().mean() + 2e-3 * divergence
        return value, {"mse": error.square().mean().item()}

    def evaluate() -> Mapping[str, float]:
        images = reconstruct(vae, truth)
        mse = float(np.mean((images.astype(np.float32) - truth) ** 2)) / 255.0**2
        score = checker.score(images, probe)
        return {"psnr": -10 * np.log10(mse), "all_right": float(score.all_right.mean())} | {
            k: float(v.mean()) for k, v in score.attributes.items()
        }

    fit("vae", vae, loss, recipe, folder, evaluate)
    shift, scale = _latent_statistics(vae, recipe.seed)
    vae.register_to_config(scaling_factor=scale, shift_factor=shift)
    return vae


def _latent_statistics(vae: AutoencoderKL, seed: int) -> tuple[float, float]:
    """(mean, 1 / standard deviation) over the latents of 512 training layouts."""
    layouts = world.sample_split(512, np.random.default_rng((seed, 1)), unseen=False)
    with torch.inference_mode():
        latent = vae.encode(to_tensor(render.render(layouts), vae.device)).latent_dist.mode()
    return round(latent.mean().item(), 4), round(1 / latent.std().item(), 4)

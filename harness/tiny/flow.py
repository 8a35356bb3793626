"""Training a small rectified-flow transformer on the world: what all families share.

Loss: || v(x_t, t, text) - (noise - clean) ||^2 with x_t = (1 - t) clean + t noise (Liu et al. 2022; Esser et
al. 2024 for the distribution of t). Transformer and text encoders are trained together.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.tiny import checker, render, vae, world
from harness.tiny.fit import Recipe, fit

POOL = 98_304  # layouts encoded once, before training


@dataclass(frozen=True)
class Subject:
    """What the training needs to know of a family.

    ``trained`` names the pipeline's components that learn. ``tokenize`` maps captions to one (N, length) id
    tensor an encoder; ``clean`` brings normalised (B, C, H, W) latents into the transformer's layout;
    ``velocity`` runs encoders and transformer on (noisy, time, ids); ``generate`` makes uint8 images of prompts
    through the pipeline's own call. ``pipeline`` and ``shadow`` are two sets of the same modules: images during
    training come from the second, so that the compiled ones are left alone.
    """

    name: str
    pipeline: Any
    shadow: Any
    trained: tuple[str, ...]
    tokenize: Callable[[Sequence[str]], tuple[Tensor, ...]]
    clean: Callable[[Tensor], Tensor]
    velocity: Callable[[Tensor, Tensor, Sequence[Tensor]], Tensor]
    generate: Callable[[Any, list[str], int], npt.NDArray[np.uint8]]


def train(subject: Subject, autoencoder: AutoencoderKL, recipe: Recipe, folder: Path, device: torch.device) -> Any:
    """Train in place; returns the shadow pipeline with the averaged weights."""
    latents, layouts = encode_pool(autoencoder, recipe.seed, POOL, folder / "latents.safetensors")
    both = [subject.tokenize(world.captions(layouts, np.full(len(layouts), flip))) for flip in (False, True)]
    ids = [torch.stack(pair) for pair in zip(*both, strict=True)]  # each (2 phrasings, N, length)
    module = nn.ModuleDict({name: getattr(subject.pipeline, name) for name in subject.trained})
    probe = world.sample_split(64, np.random.default_rng(recipe.seed), unseen=True)
    if shutil.which("c++") or device.type == "cuda":
        subject.pipeline.transformer.compile_repeated_blocks()

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        index = torch.from_numpy(rng.integers(len(latents), size=recipe.batch))
        phrasing = torch.from_numpy(rng.integers(2, size=recipe.batch))
        clean = subject.clean(latents[index].float()).to(device)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32)).to(device)
        time = torch.from_numpy(draw_times(rng, recipe.batch)).to(device)
        mix = time.view(-1, *[1] * (clean.ndim - 1))
        # Explicit softmax attention: the CPU's fused bf16 backward takes 40 % of a step.
        with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(_attention(device)):
            chosen = [table[phrasing, index].to(device) for table in ids]
            velocity = subject.velocity((1 - mix) * clean + mix * noise, time, chosen)
        return (velocity.float() - (noise - clean)).square().mean(), {}

    def evaluate() -> Mapping[str, float]:
        for name in subject.trained:
            getattr(subject.shadow, name).load_state_dict(getattr(subject.pipeline, name).state_dict())
        score = checker.score(subject.generate(subject.shadow, world.captions(probe), recipe.seed), probe)
        return {"all_right": float(score.all_right.mean())} | {k: float(v.mean()) for k, v in score.attributes.items()}

    fit(subject.name, module, loss, recipe, folder, evaluate)
    evaluate()
    return subject.shadow


def encode_pool(autoencoder: AutoencoderKL, seed: int, size: int, cache: Path) -> tuple[Tensor, world.Layouts]:
    """(size, 8, 10, 10) normalised bf16 latents of training layouts, kept in ``cache``; and the layouts."""
    layouts = world.sample_split(size, np.random.default_rng((seed, 7)), unseen=False)
    weights = hashlib.sha256(b"".join(p.detach().cpu().numpy().tobytes() for p in autoencoder.parameters()))
    identity = {"made_of": f"{weights.hexdigest()} {seed} {size}"}
    if cache.exists():
        with safe_open(cache, framework="pt") as stored:
            if stored.metadata() == identity:
                return stored.get_tensor("latents"), layouts
    shift, scale = autoencoder.config["shift_factor"], autoencoder.config["scaling_factor"]
    parts: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, size, 512):
            images = render.render(layouts[start : start + 512])
            pixels = vae.to_tensor(images, autoencoder.device).contiguous(memory_format=torch.channels_last)
            with torch.autocast(autoencoder.device.type, torch.bfloat16):
                latent = autoencoder.encode(pixels).latent_dist.mode()
            parts.append(((latent.float() - shift) * scale).to("cpu", torch.bfloat16).contiguous())
    latents = torch.cat(parts)
    save_file({"latents": latents}, cache, metadata=identity)
    return latents, layouts


def draw_times(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    """Half uniform, half sigmoid(N(.3, 1)): the noisy middle, where a rectified flow is hardest."""
    normal = 1 / (1 + np.exp(-rng.normal(0.3, 1.0, n)))
    return np.where(rng.random(n) < 0.5, rng.random(n), normal).astype(np.float32)


def calm(model: nn.Module, output: str = "proj_out") -> None:
    """Xavier weights, zero biases, and zero modulation and output: every block begins as the identity.

    diffusers leaves the modulation at its random initialisation; zero gates are the DiT paper's adaLN-Zero
    (Peebles and Xie, 2023).
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            if "norm" in name or name == output:
                nn.init.zeros_(module.weight)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _attention(device: torch.device) -> list[SDPBackend]:
    if device.type == "cuda":
        return [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # applies to the CPU's math kernel too
    return [SDPBackend.MATH]

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
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.results.arrays import Images
from harness.tiny import checker, render, vae, world
from harness.tiny.fit import Recipe, fit
from harness.tiny.text import Reader

POOL = 98_304  # layouts encoded once, before training
# What guidance pushes away from: captions are emptied, or latents are smoothed and captioned so.
_EMPTY_SHARE, _SPOILED_SHARE = 0.10, 0.05
SPOILED = "blurry"


@dataclass(frozen=True)
class Subject:
    """What the training needs to know of a family.

    ``readers`` are the pipeline's text encoders, in order; they and the transformer learn. ``clean`` brings
    normalised (B, C, H, W) latents into the transformer's layout; ``velocity`` runs encoders and transformer on
    (noisy, time, ids). ``pipeline`` and ``shadow`` are two sets of the same modules: images during training come
    from the second, through its own call with the arguments ``call``, so that the compiled ones are left alone.
    ``guided`` adds what classifier-free guidance needs.
    """

    name: str
    pipeline: Any
    shadow: Any
    readers: Mapping[str, Reader]
    clean: Callable[[Tensor], Tensor]
    velocity: Callable[[Tensor, Tensor, Sequence[Tensor]], Tensor]
    call: Mapping[str, Any]
    guided: bool = False


def _generate(pipeline: Any, prompts: list[str], seed: int, batch: int = 128, **call: Any) -> Images:
    """uint8 NCHW images of the prompts, through the pipeline's own ``__call__``."""
    pipeline.set_progress_bar_config(disable=True)
    parts: list[Images] = []
    for start in range(0, len(prompts), batch):
        images = pipeline(
            prompts[start : start + batch],
            height=render.SIDE,
            width=render.SIDE,
            generator=torch.Generator("cpu").manual_seed(seed * 1_000_003 + start),
            output_type="np",
            **call,
        ).images
        parts.append(np.round(images * 255).astype(np.uint8).transpose(0, 3, 1, 2))
    return np.concatenate(parts)


def train(subject: Subject, autoencoder: AutoencoderKL, recipe: Recipe, folder: Path, device: torch.device) -> Any:
    """Train in place; returns the shadow pipeline with the averaged weights."""
    latents, layouts = _encode_pool(autoencoder, recipe.seed, POOL, folder / "latents.safetensors")
    phrasings = [world.captions(layouts, np.full(len(layouts), flip)) for flip in (False, True)]
    ids = [torch.stack([r.ids(texts) for texts in phrasings]) for r in subject.readers.values()]  # (2, N, length) each
    others = [r.ids(["", SPOILED]) for r in subject.readers.values()]
    trained = ("transformer", *subject.readers)
    module = nn.ModuleDict({name: getattr(subject.pipeline, name) for name in trained})
    probe = world.sample_split(64, np.random.default_rng(recipe.seed), unseen=True)
    if shutil.which("c++") or device.type == "cuda":
        # Block by block, which warms up in seconds; diffusers' own compile_repeated_blocks knows FLUX only.
        for blocks in subject.pipeline.transformer.children():
            for block in blocks if isinstance(blocks, nn.ModuleList) else ():
                block.compile()

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        index = torch.from_numpy(rng.integers(len(latents), size=recipe.batch))
        phrasing = torch.from_numpy(rng.integers(2, size=recipe.batch))
        latent, chosen = latents[index].float(), [table[phrasing, index] for table in ids]
        if subject.guided:
            draw = torch.from_numpy(rng.random(recipe.batch))
            empty, spoiled = draw < _EMPTY_SHARE, draw > 1 - _SPOILED_SHARE
            latent = torch.where(spoiled[:, None, None, None], _smooth(latent), latent)
            for k, (nothing, blurry) in enumerate(others):
                chosen[k] = torch.where(empty[:, None], nothing, torch.where(spoiled[:, None], blurry, chosen[k]))
        clean = subject.clean(latent).to(device)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32)).to(device)
        time = torch.from_numpy(draw_times(rng, recipe.batch)).to(device)
        mix = time.view(-1, *[1] * (clean.ndim - 1))
        # Explicit softmax attention: the CPU's fused bf16 backward takes 40 % of a step.
        with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(_attention(device)):
            velocity = subject.velocity((1 - mix) * clean + mix * noise, time, [table.to(device) for table in chosen])
        return (velocity.float() - (noise - clean)).square().mean(), {}

    def evaluate() -> Mapping[str, float]:
        for name in trained:
            getattr(subject.shadow, name).load_state_dict(getattr(subject.pipeline, name).state_dict())
        score = checker.score(_generate(subject.shadow, world.captions(probe), recipe.seed, **subject.call), probe)
        return {"all_right": float(score.all_right.mean())} | {k: float(v.mean()) for k, v in score.attributes.items()}

    fit(subject.name, module, loss, recipe, folder, evaluate)
    evaluate()
    return subject.shadow


def _encode_pool(autoencoder: AutoencoderKL, seed: int, size: int, cache: Path) -> tuple[Tensor, world.Layouts]:
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


def _smooth(latents: Tensor) -> Tensor:
    """(B, C, H, W) latents through a 3 x 3 mean: they decode to a blurred picture."""
    return F.avg_pool2d(latents, 3, stride=1, padding=1, count_include_pad=False)


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

"""The bundled judge: a small contrastive model in open_clip's own class, independent of the pipelines.

It shares the world with them and nothing else: its own tokenizer, its own text tower, images that
are half true renders and half reconstructions. Each batch is made of groups of one layout and three
one-attribute mutants, so that the score must tell a red circle from a green one, and left from right.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedTokenizerFast

from harness.tiny import render, tokens, vae, world
from harness.tiny.fit import Recipe, fit
from harness.tiny.world import Layouts

_MUTANTS = 3
# CLIP's initial temperature, kept. A learned one falls to 0.02 here and squeezes one-attribute differences into a
# few hundredths of cosine: the loss is content, the score reads damage as next to nothing.
TEMPERATURE = 0.07
RECIPE = Recipe(steps=1600, batch=64, rate=1e-3, seed=41, weight_decay=0.05, ema=0.995)

MODEL: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": render.SIDE, "patch_size": 5, "layers": 4, "width": 96, "head_width": 32},
    "text_cfg": {
        "context_length": tokens.JUDGE_LENGTH,
        "vocab_size": len(tokens.JUDGE_WORDS),
        "width": 64,
        "heads": 4,
        "layers": 3,
        "hf_tokenizer_name": "./",
        "tokenizer_kwargs": {"clean": "lower"},
    },
}
_PREPROCESS = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def mutate(layouts: Layouts, rng: np.random.Generator) -> Layouts:
    """Each layout with one attribute changed: one object's, the background, or the relation."""
    out = {name: getattr(layouts, name).copy() for name in Layouts.__dataclass_fields__}
    n = len(layouts)
    kinds = ("colour", "shape", "size", "texture", "background", "relation")
    kind = rng.integers(len(kinds), size=n)
    kind = np.where((kind == 5) & (layouts.count == 1), rng.integers(5, size=n), kind)
    which = np.where(layouts.count == 2, rng.integers(2, size=n), 0)
    rows = np.arange(n)
    options = (world.COLOURS, world.SHAPES, world.SIZES, world.TEXTURES)
    for k, values in enumerate(options):
        here = kind == k
        column = out[kinds[k]]
        step = rng.integers(1, len(values), size=n)
        column[rows[here], which[here]] = (column[rows[here], which[here]] + step[here]) % len(values)
    here = kind == 4
    step = rng.integers(1, len(world.BACKGROUNDS), size=n)
    out["background"][here] = (out["background"][here] + step[here]) % len(world.BACKGROUNDS)
    here = kind == 5
    for name in ("colour", "shape", "size", "texture"):
        out[name][here] = out[name][here][:, ::-1]
    return world.rejitter(Layouts(**out), rng)


def same_scene(layouts: Layouts) -> npt.NDArray[np.bool_]:
    """(N, N) True where two layouts have the same key (equal captions, up to phrasing)."""
    key = np.array(world.keys(layouts))
    return key[:, None] == key[None, :]


def train(folder: Path, autoencoder: AutoencoderKL, device: torch.device, recipe: Recipe = RECIPE) -> open_clip.CLIP:
    """Train the judge with the symmetric contrastive loss; equal scenes are no negatives of each other."""
    torch.manual_seed(recipe.seed)
    text_cfg = {k: v for k, v in MODEL["text_cfg"].items() if not k.startswith(("hf_", "tokenizer_"))}
    model = open_clip.CLIP(MODEL["embed_dim"], MODEL["vision_cfg"], text_cfg).to(device)
    with torch.no_grad():
        model.logit_scale.fill_(-math.log(TEMPERATURE))
    model.logit_scale.requires_grad_(False)
    tokens.write_judge(folder / "judge-tokenizer")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "judge-tokenizer")

    def batch(rng: np.random.Generator, n: int, *, unseen: bool) -> tuple[Layouts, Tensor, Tensor]:
        base = world.sample_split(n, rng, unseen=unseen)
        layouts = world.concatenate([base, *(mutate(base, rng) for _ in range(_MUTANTS))])
        if not unseen:
            layouts = layouts[~world.held_out(layouts)]
        images = render.render(layouts)
        half = rng.permutation(len(images))[: len(images) // 2]
        images[half] = vae.reconstruct(autoencoder, images[half])
        texts = world.captions(layouts, rng.random(len(layouts)) < 0.5)
        ids = tokenizer(texts, padding="max_length", return_tensors="pt")["input_ids"]
        return layouts, vae.to_tensor(images, device), ids.to(device)

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        layouts, pixels, ids = batch(rng, recipe.batch, unseen=False)
        with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            image, words, scale = model(pixels, ids)
        logits = scale.float() * image.float() @ words.float().T
        same = torch.from_numpy(same_scene(layouts)).to(device)
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, float("-inf"))
        target = torch.arange(len(logits), device=device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2, {}

    def evaluate() -> Mapping[str, float]:
        with torch.inference_mode():
            layouts, pixels, ids = batch(np.random.default_rng(recipe.seed), 64, unseen=True)
            image, words, _ = model(pixels, ids)
            cosine = image @ words.T
            foils = cosine.diagonal().view(1 + _MUTANTS, 64)
            crossed = (image[:64, None] * words.view(1 + _MUTANTS, 64, -1)[1:].transpose(0, 1)).sum(-1)
            best = cosine.argmax(dim=1).cpu().numpy()
            right = same_scene(layouts)[np.arange(len(best)), best] | (best == np.arange(len(best)))
        return {
            "top1": float(right.mean()),
            "foil": (foils[0][:, None] > crossed).float().mean().item(),
            "score": 100 * foils.mean().item(),
        }

    fit("judge", model, loss, recipe, folder, evaluate)
    return model


def save(model: open_clip.CLIP, folder: Path) -> None:
    """The folder that open_clip loads through ``local-dir:``."""
    tokens.write_judge(folder)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    config = {"model_cfg": MODEL, "preprocess_cfg": _PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")

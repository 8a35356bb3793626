"""``python -m harness tiny train``: from nothing to the bundled weights, resumable at any point."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from torch import nn

from harness.models.checkpoints.pipeline_folder import AUTOENCODER, AUTOENCODER_HOLDER
from harness.models.checkpoints.resolve import BUNDLED, SETTINGS_FILE
from harness.tiny import auraflow, flux, judge, render, sd3, vae, world
from harness.tiny.fit import Recipe


def _train_judge(work: Path, out: Path, device: torch.device) -> None:
    """Train the autoencoder and the judge; write the judge's folder to ``out/judge``."""
    autoencoder = vae.train(work, device)
    judge.save(judge.train(work, autoencoder, device), out / "judge")
    _write_prompts(out)


_FAMILIES: dict[str, Any] = {"flux": flux, "sd3": sd3, "auraflow": auraflow}


def recipe_of(family: str) -> Recipe:
    """How the bundled model of a family was trained."""
    recipe: Recipe = _FAMILIES[family].RECIPE
    return recipe


# A pipeline's arguments, as harness.json calls them.
_SETTINGS = {
    "num_inference_steps": "steps",
    "guidance_scale": "guidance",
    "max_sequence_length": "max_sequence_length",
    "negative_prompt": "negative_prompt",
}


def _train_family(name: str, work: Path, out: Path, device: torch.device) -> None:
    """Train the autoencoder, the text encoders and the transformer; write ``out/NAME-tiny``."""
    family = _FAMILIES[name]
    pipeline = family.train(work, vae.train(work, device), device)
    folder = out / f"{name}-tiny"
    export(pipeline, folder, {_SETTINGS[argument]: value for argument, value in family.CALL.items()})
    # The tokenizer files as written by hand: what transformers 5 saves, 4.x can't load.
    for path in folder.glob("tokenizer*/*"):
        path.unlink()
    family.write_tokenizers(folder)
    share_autoencoder(folder)


_PROMPTS = 64
_PROMPTS_SEED = 7_001


def prompts(n: int, seed: int) -> list[str]:
    """N different captions of held-out layouts, in both phrasings."""
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < n:
        layouts = world.sample_split(n, rng, unseen=True)
        texts = world.captions(layouts, rng.random(n) < 0.5)
        found |= {key: text for key, text in zip(world.keys(layouts), texts, strict=True) if key not in found}
    return list(found.values())[:n]


def _write_prompts(out: Path) -> None:
    """The prompts that all bundled checkpoints are measured on."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "prompts.txt").write_text("\n".join(prompts(_PROMPTS, _PROMPTS_SEED)) + "\n")


TARGETS: dict[str, Callable[[Path, Path, torch.device], None]] = {
    **{name: partial(_train_family, name) for name in _FAMILIES},
    "judge": _train_judge,
}


def export(pipeline: DiffusionPipeline, folder: Path, settings: Mapping[str, float | int | str]) -> None:
    """Save a pipeline with its transformer and text encoders in bf16, and its ``harness.json``."""
    pipeline.to("cpu")
    pipeline.save_pretrained(folder, safe_serialization=True)
    index = json.loads((folder / "model_index.json").read_text())
    for value in index.values():
        if isinstance(value, list) and value[1] == "T5Tokenizer":
            value[1] = "T5TokenizerFast"  # transformers 5 renamed it; 4.x knows only the old name
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    for part in ("transformer", "text_encoder", "text_encoder_2", "text_encoder_3"):
        for path in (folder / part).glob("*.safetensors"):
            _halve(path)
    for part in ("text_encoder", "text_encoder_2"):
        for path in (folder / part).glob("*.safetensors"):
            _prefix(path)
    everything = {
        **settings,
        "height": render.SIDE,
        "width": render.SIDE,
        "dtype": "float32",
        "batch": _PROMPTS,
        "judge": "../judge",
        "prompts": "../prompts.txt",
        "world": True,
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(everything, indent=2, sort_keys=True) + "\n")


def share_autoencoder(folder: Path) -> None:
    """Remove a bundled pipeline's copy of the autoencoder's weights where it is the one that is bundled already."""
    own = folder / AUTOENCODER / "diffusion_pytorch_model.safetensors"
    held = AUTOENCODER_HOLDER / own.name
    bundled = folder.resolve().parent == BUNDLED.resolve() and own.resolve() != held.resolve()
    if bundled and own.read_bytes() == held.read_bytes():
        own.unlink()


def _halve(path: Path) -> None:
    """Rewrite a file's weights in bf16: half the size in git, and loaded as fp32 all the same."""
    state = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file(state, path, metadata={"format": "pt"})


def _prefix(path: Path) -> None:
    """Give CLIP's weights the names of old: transformers 5 saves them without the prefix that 4.x looks for.

    4.x would keep such a model at its random initialisation, with a warning.
    """
    state = load_file(path)
    if "embeddings.token_embedding.weight" in state:
        named = {k if k == "text_projection.weight" else f"text_model.{k}": v for k, v in state.items()}
        save_file(named, path, metadata={"format": "pt"})


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())

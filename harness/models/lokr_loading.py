"""LyCORIS LoKr files, which diffusers' own loader doesn't read: each linear layer's weight gets scale * kron(w1, w2).

The rules are those of LyCORIS (``lycoris/modules/lokr.py``), held against what the modules of 4.1.3 add in a forward,
which is what was trained (its ``merge_to`` applies the scale twice): w1 and w2 stand in the file whole, or each as the
product of two matrices of a rank; scale is alpha over the rank, and 1 where both are whole, whatever alpha says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.errors import CheckpointError

_KEY = re.compile(r"(.+)\.(lokr_w1|lokr_w2|lokr_w1_a|lokr_w1_b|lokr_w2_a|lokr_w2_b|alpha)")
_PREFIXES = ("transformer.", "lycoris_", "lora_transformer_", "lora_unet_", "")
_KEPT = "_dit_lokr"  # the attribute of a transformer that holds what was added to it


@dataclass(frozen=True)
class LokrLayer:
    """The update of one linear layer: ``base`` (out, in) is its weight without it, in main memory."""

    base: Tensor
    update: Tensor

    def merged(self, factor: float) -> Tensor:
        """The weight with ``factor`` times the update; bitwise the base for 0, and the loaded weight for 1."""
        if factor == 0:
            return self.base.clone()
        return (self.base.float() + factor * self.update.float()).to(self.base.dtype)


def is_lokr(path: Path) -> bool:
    """Whether a safetensors file holds LoKr weights."""
    with safe_open(str(path), framework="pt") as file:
        return any(".lokr_w" in key for key in file.keys())  # noqa: SIM118 - no mapping


def lokr_layers(transformer: nn.Module) -> Mapping[str, LokrLayer]:
    """The updates that :func:`put_on` has added to a transformer, by the layer's name; none where there are none."""
    return cast("Mapping[str, LokrLayer]", getattr(transformer, _KEPT, {}))


def put_on(pipeline: Any, path: Path, name: str) -> None:
    """Add a LoKr file's updates to the transformer of a pipeline.

    Raises CheckpointError where any of its weights fits nothing in this model, or has a part that isn't read here.
    """
    transformer = pipeline.transformer
    linear = {key: m for key, m in transformer.named_modules() if isinstance(m, nn.Linear)}
    flat = {key.replace(".", "_"): key for key in linear}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(str(path)).items():
        match = _KEY.fullmatch(key)
        if match is None:
            raise CheckpointError(
                f"LoRA {path}: {key!r} is none of LoKr's weights for linear layers, which alone are read (no DoRA, no "
                "convolution, no other algorithm); save one without it"
            )
        parts.setdefault(match[1], {})[match[2]] = value.float()
    layers: dict[str, LokrLayer] = {}
    left: set[str] = set()
    for module, weights in parts.items():
        layer = next((flat[n] for p in _PREFIXES if (n := _flat(module, p)) in flat), None)
        update = None if layer is None else _update(weights, path, module)
        if layer is None or update is None or update.shape != linear[layer].weight.shape:
            left.add(module)
            continue
        base = linear[layer].weight.data.cpu().clone()
        layers[layer] = LokrLayer(base, update)
    if left:
        raise CheckpointError(
            f"LoRA {path} was not made for {name!r}: {len(left)} of {len(parts)} layers fit nothing in it, as "
            f"{min(left)!r}; name another"
        )
    for layer, added in layers.items():
        weight = linear[layer].weight
        weight.data = added.merged(1.0).to(weight.device)
    setattr(transformer, _KEPT, layers)


def _flat(module: str, prefix: str) -> str:
    return module.removeprefix(prefix).replace(".", "_") if module.startswith(prefix) else ""


def _update(weights: Mapping[str, Tensor], path: Path, module: str) -> Tensor:
    """Scale * kron(w1, w2), in fp32."""
    factors: list[Tensor] = []
    rank: int | None = None
    for which in ("lokr_w1", "lokr_w2"):
        down = weights.get(f"{which}_b")
        if which in weights:
            factors.append(weights[which])
        elif down is not None and f"{which}_a" in weights:
            factors.append(weights[f"{which}_a"] @ down)
            rank = rank or down.shape[0]
        else:
            raise CheckpointError(f"LoRA {path}: layer {module!r} lacks {which}; the file is not whole")
    alpha = weights.get("alpha")
    scale = 1.0 if rank is None or alpha is None else float(alpha) / rank
    return scale * torch.kron(factors[0], factors[1].contiguous())

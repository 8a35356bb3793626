"""A transformer built where it will run, in its dtype, and filled there: no second copy, not even for a moment."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from harness.errors import CheckpointError, first_line
from harness.models import memory
from harness.models.diffusers_since import not_in_this_release
from harness.models.random_weights.checkpoint import RandomCheckpoint

_RECIPE = "normal-1"  # goes into the fingerprint: another way of filling is another model


def build(checkpoint: RandomCheckpoint, device: torch.device, dtype: torch.dtype, seed: int = 0) -> nn.Module:
    """The checkpoint's transformer with seeded random weights, in eval mode.

    The numbers depend on seed, dtype and kind of device (each has its own generator).
    Raises CheckpointError: a class that this diffusers lacks, a config that doesn't fit it, too little memory.
    """
    model = outline(checkpoint)
    if said := refusal(checkpoint, sum(p.numel() for p in model.parameters()), memory.room(device)):
        raise CheckpointError(said)
    generator = torch.Generator(device).manual_seed(seed)
    for module in model.modules():
        for name, blank in list(module.named_parameters(recurse=False)):
            value = torch.empty(blank.shape, device=device, dtype=dtype)
            _fill(value, name, generator)
            setattr(module, name, nn.Parameter(value, requires_grad=False))
        for name, buffer in list(module.named_buffers(recurse=False)):
            # Position tables are computed, not drawn. A model's own .to(dtype) would warn of modules to keep in fp32.
            setattr(module, name, buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype))
    return model.eval()


def outline(checkpoint: RandomCheckpoint) -> nn.Module:
    """The transformer with its parameters on the meta device: shapes, and no memory. Raises CheckpointError."""
    name = checkpoint.family.transformer
    made: Any = getattr(diffusers, name, None)
    if made is None:
        raise CheckpointError(not_in_this_release(name))
    try:
        with init_empty_weights(include_buffers=False):
            model = made.from_config(dict(checkpoint.config))
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError, AttributeError) as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.name!r}: no {name} can be built from its transformer's config "
            f"({first_line(error)}); save the transformer again with save_pretrained"
        ) from None
    assert isinstance(model, nn.Module)
    return model


def refusal(checkpoint: RandomCheckpoint, parameters: int, room: memory.Room) -> str:
    """The message for weights that don't fit where the model runs, with the arithmetic; empty where they fit.

    Weights alone are counted, so that a refusal is certain and a fit is not: activations need some more.
    """
    dtype = checkpoint.settings.dtype
    need = parameters * memory.SIZES[dtype]
    if need <= room.device:
        return ""
    narrow = parameters * memory.SIZES["bfloat16"]
    remedies = [f"--dit-dtype=bfloat16 ({narrow / 1e9:.1f} GB)"] if narrow < need and narrow <= room.device else []
    remedies += [] if checkpoint.small else ["--dit-weights=random:small"]
    return (
        f"checkpoint {checkpoint.name!r} doesn't fit: {parameters / 1e9:.2f} billion parameters x "
        f"{memory.SIZES[dtype]} bytes ({dtype}) are {need / 1e9:.1f} GB, {room.device / 1e9:.1f} GB are free on "
        f"{room.where}; {'try ' + ', or '.join(remedies) if remedies else 'use a larger machine'}"
    )


def _fill(value: Tensor, name: str, generator: torch.Generator) -> None:
    """Random numbers in place, by the parameter's kind, which its name and rank tell.

    A matrix keeps the size of what goes through it (1 / sqrt(inputs)). Scales of norms spread around 1 and biases
    around 0, so that no gate is shut and no norm is another's double, as diffusers' initialisation has them.
    All three families normalise before they add, so what 57 blocks add up to grows with the root of their number
    and stays small in any dtype.
    """
    if name == "weight" and value.ndim >= 2:
        value.normal_(0.0, 1.0 / math.sqrt(value[0].numel()), generator=generator)
    elif name == "weight":
        value.normal_(1.0, 0.2, generator=generator)
    elif name == "bias":
        value.normal_(0.0, 0.2, generator=generator)
    else:
        value.normal_(0.0, 0.3, generator=generator)  # learned tokens and positions


def digest(checkpoint: RandomCheckpoint, seed: int = 0) -> str:
    """What stands for the weights in a fingerprint."""
    text = json.dumps([_RECIPE, seed, dict(checkpoint.config)], sort_keys=True)
    return f"random-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

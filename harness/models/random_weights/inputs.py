"""What a pipeline would pass to its transformer, drawn at random: the same shapes, scales and dtypes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.errors import CheckpointError
from harness.models.random_weights.checkpoint import RandomCheckpoint

CLIP_TOKENS = 77  # SD3 puts CLIP's states before T5's in one sequence


def arguments(checkpoint: RandomCheckpoint, device: torch.device, dtype: torch.dtype, seed: int = 0) -> dict[str, Any]:
    """The arguments of one forward for ``settings.batch`` images of the settings' size.

    Latents, text states and pooled vectors are standard normal, drawn in fp32 on the CPU; timesteps spread over
    the middle of the trajectory, in the family's own scale. Raises CheckpointError where the model has no
    positions for an image of that size.
    """
    batch = checkpoint.settings.batch
    draw = _Draw(torch.Generator().manual_seed(seed), device, dtype)
    times = torch.linspace(1.0, 0.0, batch + 2)[1:-1].to(device)
    made = _MAKERS[checkpoint.family.name](checkpoint, draw, batch)
    # SD3 counts from 0 to 1000 in fp32; the pipelines of the others divide by 1000 and cast to the latents' dtype.
    made["timestep"] = times * 1000 if checkpoint.family.name == "sd3" else times.to(dtype)
    return made | {"return_dict": False}


class _Draw:
    def __init__(self, generator: torch.Generator, device: torch.device, dtype: torch.dtype) -> None:
        self.generator, self.device, self.dtype = generator, device, dtype

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator).to(self.device, self.dtype)


def _flux(checkpoint: RandomCheckpoint, draw: _Draw, batch: int) -> dict[str, Any]:
    """Latents (B, tokens, channels) in packs of 2 x 2, their (row, column) ids, text (B, T, d) with ids of zero."""
    config, text = checkpoint.config, checkpoint.settings.max_sequence_length
    rows, columns = _grid(checkpoint, 2)
    ids = torch.cartesian_prod(torch.arange(rows), torch.arange(columns))
    image_ids = torch.cat([torch.zeros(len(ids), 1, dtype=ids.dtype), ids], dim=1)
    out: dict[str, Any] = {
        "hidden_states": draw(batch, len(ids), config["in_channels"]),
        "encoder_hidden_states": draw(batch, text, config["joint_attention_dim"]),
        "pooled_projections": draw(batch, config["pooled_projection_dim"]),
        "img_ids": image_ids.to(draw.device, draw.dtype),
        "txt_ids": torch.zeros(text, 3, device=draw.device, dtype=draw.dtype),
    }
    if config.get("guidance_embeds"):
        # A pipeline passes it in fp32.
        out["guidance"] = torch.full((batch,), checkpoint.settings.guidance, device=draw.device)
    return out


def _sd3(checkpoint: RandomCheckpoint, draw: _Draw, batch: int) -> dict[str, Any]:
    """Latents (B, channels, h, w), CLIP's and T5's states (B, 77 + T, d), pooled vectors (B, d)."""
    config, text = checkpoint.config, checkpoint.settings.max_sequence_length
    patch = config["patch_size"]
    rows, columns = _grid(checkpoint, patch, config["pos_embed_max_size"])
    return {
        "hidden_states": draw(batch, config["in_channels"], rows * patch, columns * patch),
        "encoder_hidden_states": draw(batch, min(CLIP_TOKENS, text) + text, config["joint_attention_dim"]),
        "pooled_projections": draw(batch, config["pooled_projection_dim"]),
    }


def _auraflow(checkpoint: RandomCheckpoint, draw: _Draw, batch: int) -> dict[str, Any]:
    """Latents (B, channels, h, w) and text (B, T, d); the model adds its register tokens itself."""
    config, text = checkpoint.config, checkpoint.settings.max_sequence_length
    patch = config["patch_size"]
    rows, columns = _grid(checkpoint, patch, int(config["pos_embed_max_size"] ** 0.5))
    return {
        "hidden_states": draw(batch, config["in_channels"], rows * patch, columns * patch),
        "encoder_hidden_states": draw(batch, text, config["joint_attention_dim"]),
    }


_MAKERS = {"flux": _flux, "sd3": _sd3, "auraflow": _auraflow}


def _grid(checkpoint: RandomCheckpoint, patch: int, most: int | None = None) -> tuple[int, int]:
    """Rows and columns of image tokens. Raises CheckpointError for an image without tokens, or more than fit."""
    settings = checkpoint.settings
    rows, columns = (max(1, side // checkpoint.latent // patch) for side in (settings.height, settings.width))
    if most is not None and max(rows, columns) > most:
        raise CheckpointError(
            f"checkpoint {checkpoint.name!r} has {most} x {most} positions, an image of {settings.height} x "
            f"{settings.width} px takes {rows} x {columns}; give the folder a harness.json with its height and width"
        )
    return rows, columns

"""What a pipeline would pass to its transformer, drawn at random: the same shapes, scales and dtypes."""

from __future__ import annotations

from typing import Any

import torch

from harness.errors import CheckpointError
from harness.models.families.base import Patches, StandardNormal
from harness.models.families.registry import adapter
from harness.models.random_weights.checkpoint import RandomCheckpoint


def arguments(checkpoint: RandomCheckpoint, device: torch.device, dtype: torch.dtype, seed: int = 0) -> dict[str, Any]:
    """The arguments of one forward for ``settings.batch`` images of the settings' size.

    Latents, text states and pooled vectors are standard normal, drawn in fp32 on the CPU; timesteps spread over
    the middle of the trajectory, in the family's own scale. Raises CheckpointError where the model has no
    positions for an image of that size.
    """
    family, settings = checkpoint.family, checkpoint.settings
    own = adapter(family)
    grid = _grid(checkpoint, own.patches(checkpoint.config))
    inputs = own.random_inputs(checkpoint.config, settings, grid, StandardNormal(seed, device, dtype))
    levels = torch.linspace(1.0, 0.0, settings.batch + 2)[1:-1].to(device)
    timestep = levels * family.timestep_scale
    return {
        **inputs,
        "timestep": timestep.to(dtype) if family.timestep_cast else timestep,
        "return_dict": False,
    }


def _grid(checkpoint: RandomCheckpoint, patches: Patches) -> tuple[int, int]:
    """Rows and columns of image tokens. Raises CheckpointError for an image with more than the model has positions."""
    settings, most = checkpoint.settings, patches.most
    rows, columns = (max(1, side // checkpoint.latent // patches.side) for side in (settings.height, settings.width))
    if most is not None and max(rows, columns) > most:
        raise CheckpointError(
            f"checkpoint {checkpoint.name!r} has {most} x {most} positions, an image of {settings.height} x "
            f"{settings.width} px takes {rows} x {columns}; give the folder a harness.json with its height and width"
        )
    return rows, columns

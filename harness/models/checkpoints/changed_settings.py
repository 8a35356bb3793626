"""Settings of one run that take the place of a checkpoint's own: fewer steps, smaller images, and so on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from harness.errors import CheckpointError, OptionError
from harness.models.checkpoints.pictures import check_settings
from harness.models.checkpoints.pipeline_folder import vae_reduction
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.spec import PIXELS, PositionLimit

CheckpointT = TypeVar("CheckpointT", bound=Checkpoint)
SIZE_FORM = "pixels a side (512), or WIDTHxHEIGHT (768x512)"


@dataclass(frozen=True)
class SettingsChange:
    """What replaces a checkpoint's settings; None leaves its own.

    ``width`` and ``height`` are in pixels, ``seeds`` those of the control, ``batch`` the images in one forward.
    """

    steps: int | None = None
    width: int | None = None
    height: int | None = None
    seeds: int | None = None
    batch: int | None = None


def read_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of ``512`` or ``768x512``. Raises OptionError for anything else."""
    match = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(sides) < PIXELS.least or max(sides) > PIXELS.most:
        raise OptionError(f"takes {SIZE_FORM}, each from {PIXELS.least} to {PIXELS.most:,}, not {text[:60]!r}")
    return sides


def change_settings(checkpoint: CheckpointT, change: SettingsChange, config: Mapping[str, Any]) -> CheckpointT:
    """The checkpoint with other settings; ``config`` is its transformer's.

    Raises CheckpointError for a size of which the checkpoint can't make images, and where it makes one at a time for a
    batch of more.
    """
    values = {name: value for name, value in vars(change).items() if value is not None}
    if not values:
        return checkpoint
    changed = replace(checkpoint, settings=replace(checkpoint.settings, **values))
    check_settings(changed.name, changed.family, changed.settings)
    if change.width is not None and not changed.family.layered:
        _check_size(changed, config)
    return changed if change.batch is None else replace(changed, batch_given=True)


def _check_size(checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    settings, family = checkpoint.settings, checkpoint.family
    token = family.token_latents * (vae_reduction(checkpoint.folder) or family.latent_pixels)
    for side in (settings.width, settings.height):
        if side % token:
            raise CheckpointError(
                f"checkpoint {checkpoint.name!r} makes images whose sides are multiples of {token} px, and {side} is "
                f"none; the nearest are {max(1, side // token) * token} and {(side // token + 1) * token}"
            )
    count = config.get("pos_embed_max_size")
    if family.position_limit is None or not isinstance(count, int):
        return
    most = token * (count if family.position_limit is PositionLimit.SIDE else math.isqrt(count))
    if max(settings.width, settings.height) > most:
        raise CheckpointError(
            f"checkpoint {checkpoint.name!r} has positions for at most {most} px a side, and "
            f"{settings.width}x{settings.height} is larger"
        )

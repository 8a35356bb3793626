"""What a checkpoint that takes pictures apart needs: its settings, and pictures, which no other checkpoint takes."""

from __future__ import annotations

from harness.errors import CheckpointError
from harness.models.spec import Family, Settings

RESOLUTIONS = (640, 1024)  # the only ones that QwenImageLayeredPipeline takes: the root of the number of pixels


def check_settings(checkpoint: str, family: Family, settings: Settings) -> None:
    """Raise CheckpointError where a checkpoint that takes pictures apart can't do so under its settings."""
    if not family.layered:
        return
    if settings.height != settings.width or settings.height not in RESOLUTIONS:
        raise CheckpointError(
            f"checkpoint {checkpoint!r} takes pictures apart at {' or '.join(f'{r} x {r}' for r in RESOLUTIONS)} px "
            f"(the sides follow from each picture's own), not at {settings.width} x {settings.height}; set one of them"
        )
    if settings.batch != 1:
        raise CheckpointError(
            f"checkpoint {checkpoint!r} takes one picture apart at a time, not {settings.batch}: {family.pipeline} "
            "deals out the layers of several wrongly; set a batch of 1, or leave it out"
        )


def check_pictures(checkpoint: str, family: Family, *, pictures: bool, prompts: bool) -> None:
    """Raise CheckpointError where a checkpoint is without the pictures that it needs, or with some that it can't use.

    ``pictures`` and ``prompts`` say whether somebody has given those.
    """
    if family.layered and not pictures:
        raise CheckpointError(
            f"checkpoint {checkpoint!r} ({family.pipeline}) takes pictures apart into layers, so it needs some: a "
            "folder of images, each with a text of the same name (circle.png, circle.txt) that says what is on it: "
            '--dit-pictures=FOLDER, or Lab(..., pictures=read_pictures("FOLDER")) in Python'
        )
    if family.layered and prompts:
        raise CheckpointError(
            f"the prompts of checkpoint {checkpoint!r} are the texts of its pictures; leave out other prompts "
            "(--dit-prompts, prompts=)"
        )
    if pictures and not family.layered:
        raise CheckpointError(
            f"checkpoint {checkpoint!r} ({family.pipeline}) makes images from prompts alone, and takes no pictures "
            "apart; leave them out (--dit-pictures, pictures=)"
        )

"""QwenImageLayeredPipeline of diffusers: a picture and what is on it go in, RGBA layers come out.

As with any other pipeline of no family of its own (:mod:`harness.models.families.general`), what its own call does is
watched. Every prompt is the description of a picture, which goes into the call beside the prompt's embeddings. One call
makes one decomposition: given several pictures, diffusers 0.42 deals their layers out as if there was one more of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from harness.errors import CheckpointError
from harness.models.families.base import Conditions
from harness.models.families.general import General
from harness.models.spec import Family, Settings


class Layered(General):
    """A pipeline that takes pictures apart. It must be told them (:meth:`take_pictures`) before anything is made."""

    def __init__(self, family: Family) -> None:
        super().__init__(family)
        self._pictures: dict[str, Image.Image] = {}

    def take_pictures(self, pictures: Mapping[str, Image.Image]) -> None:
        """Take each prompt's picture, in RGBA, in place of those that were taken before."""
        self._pictures = dict(pictures)

    def prompt_inputs(self, prompts: Sequence[str]) -> dict[str, Any]:
        """The picture, and the prompt itself: without a text, the pipeline would have one written."""
        (prompt,) = prompts
        return {"image": self._pictures[prompt], "prompt": prompt}

    def plain_prompt_arguments(self, settings: Settings, prompts: int) -> dict[str, Any]:
        """A negative prompt where it guides: the pipeline warns of one that doesn't."""
        return super().plain_prompt_arguments(settings, prompts) if settings.guides else {}

    def together(self, conditions: Sequence[Conditions]) -> bool:
        """Only one by itself."""
        return len(conditions) == 1

    def learn(self, pipeline: Any, settings: Settings, arguments: Callable[[], Mapping[str, Any]]) -> None:
        """Have the pipeline ask for first latents, anew for each picture: their size follows from the picture's.

        The picture is not kept, which the pipeline would encode whenever it draws.
        """
        size = (settings.height, settings.width)
        self._asked.pop(size, None)
        super().learn(pipeline, settings, arguments)
        self._asked[size]["image"] = None

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """The number of layers and the resolution, beside what other pipelines take."""
        return {**super().arguments(settings), "layers": settings.layers, "resolution": settings.height}

    def layers(self, images: Any) -> Tensor:
        """The layers of one picture, (1, L, 4, H, W) uint8. What is not finite becomes mid grey, half transparent.

        Raises CheckpointError where they are no RGBA.
        """
        (layers,) = images
        if layers.ndim != 4 or layers.shape[1] != 4:
            raise CheckpointError(
                f"the {self.family.pipeline} gives layers of {layers.shape[1]} channels, not 4 (RGBA): the vae is not "
                "one of layers"
            )
        pixels = layers.float().cpu()
        if not torch.isfinite(pixels).all():
            pixels = torch.full_like(pixels, 0.5)  # a constant, so its composite has collapsed
        return pixels.clamp(0, 1).mul(255).round().to(torch.uint8)[None]

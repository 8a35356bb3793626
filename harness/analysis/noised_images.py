"""The layers on images noised to uniform levels, one forward each: the setting of the SD3.5-Large study.

A clean image x0 becomes x_t = (1 - s) x0 + s eps at noise level s (rectified flow, Liu et al. 2022), and the model sees
it with its caption, without guidance. What else the transformer is given is what the pipeline itself passes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from harness.analysis.capture import DRAWS, Collector, Sink, batches, collecting, without_caching_prompts
from harness.analysis.hidden_states import clock
from harness.analysis.profile import REDUCTIONS, SETTINGS, Profile
from harness.errors import CheckpointError, OptionError, PromptError
from harness.lab.lab import Lab
from harness.models.kernels import pinned
from harness.models.sampler import Sampler, generator_for
from harness.tiny import checker, render

Pixels = npt.NDArray[np.float32]

_LEVELS = 10
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class CaptionedImages:
    """``pixels`` (N, 3, H, W) in 0..1, each with its caption."""

    pixels: Pixels
    captions: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The first 12 letters of a SHA-256 of pixels and captions."""
        content = hashlib.sha256(np.ascontiguousarray(self.pixels).tobytes())
        content.update("\n".join(self.captions).encode())
        return content.hexdigest()[:12]


def read_images(folder: Path, height: int, width: int) -> CaptionedImages:
    """The png and jpg files of a folder, in the order of their names, each with its caption in ``NAME.txt`` beside it.

    An image is scaled until it covers (height, width) and cropped around its middle. Raises PromptError: no folder, no
    image in it, an image without a caption or with an empty one, a file that is no image or no UTF-8 text.
    """
    if not folder.is_dir():
        raise PromptError(f"there is no folder of images {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not files:
        raise PromptError(f"{folder} holds no {', '.join(_SUFFIXES)} file")
    captions = tuple(_caption(path) for path in files)
    pixels = np.stack([_read(path, height, width) for path in files])
    return CaptionedImages(pixels, captions)


def on_noised(
    lab: Lab,
    *,
    images: Pixels | None = None,
    captions: Sequence[str] | None = None,
    levels: int = _LEVELS,
    repeats: int = 1,
    draws: int = DRAWS,
    sink: Sink | None = None,
    reduction: str = REDUCTIONS[0],
) -> Profile:
    """The layers on images noised to ``levels`` uniform levels, which are the profile's bins.

    ``images`` are (N, 3, H, W) in 0..1 of the size that the lab's images have, with their ``captions``; by default
    the bundled world's own renderings of the lab's prompts, or else the control's images. Each level is seen
    ``repeats`` times with new noise, at places spread evenly within its bin (its middle for one). ``draws``, ``sink``
    and ``reduction`` as in :func:`harness.analysis.capture.on_trajectory`.
    Raises PromptError for images and captions that don't fit or are too long, OptionError for less than one level or
    repeat, SurgeryError and CheckpointError as on_trajectory.
    """
    if levels < 1 or repeats < 1:
        raise OptionError(f"{levels} levels of noise, {repeats} times; at least one of both is needed")
    sampler = lab.sampler
    collector = Collector(draws=draws, sink=sink, reduction=reduction)
    collector.edges = np.linspace(0.0, 1.0, levels + 1)
    captioned = _captioned_images(lab, images, captions)
    for part in batches(sampler, len(captioned.captions)):
        prompts = captioned.captions[part]
        clean = clean_latents(sampler, captioned.pixels[part])
        with without_caching_prompts(sampler):
            forward = SingleForward(sampler, prompts)
            with collecting(sampler, collector, prompts, forward.level):
                for step in range(levels * repeats):
                    level = (step + 0.5) / (levels * repeats)
                    forward((1 - level) * clean + level * draw(sampler, prompts, level), level)
    return collector.profile(lab.checkpoint, SETTINGS[1], captioned.captions, sampler)


class SingleForward:
    """The transformer on latents of our own, with everything else as the pipeline passes it at its first step.

    Raises CheckpointError as :func:`harness.analysis.hidden_states.clock`.
    """

    def __init__(self, sampler: Sampler, prompts: Sequence[str]) -> None:
        self._sampler = sampler
        arguments = sampler.forward_arguments(prompts)
        first: Tensor = arguments["timestep"]
        self._clock = clock(sampler.pipeline, float(first.flatten()[-1]))
        rows = len(arguments["hidden_states"])
        if rows != len(prompts):  # [negative, positive] of classifier-free guidance, FLUX's ids have no rows
            arguments = {name: _positive(value, rows) for name, value in arguments.items()}
        self._arguments = arguments
        self._level = 0.0

    def level(self, _timestep: float) -> float:
        """The noise level of the forward that runs; its timestep has it only rounded to the model's dtype."""
        return self._level

    def __call__(self, latents: Tensor, level: float) -> Tensor:
        """What the transformer predicts of (N, ...) latents in its layout, fp32 on the CPU: the velocity eps - x0.

        A model whose time counts upwards (Lumina 2) predicts x0 - eps.
        """
        self._level = level
        own: Mapping[str, Tensor] = self._arguments
        replaced = {
            "hidden_states": latents.to(own["hidden_states"]),
            "timestep": torch.full_like(own["timestep"], self._clock.timestep(level)),
        }
        with pinned():
            out: Tensor = self._sampler.transformer(**{**self._arguments, **replaced})[0]
            return out.float().cpu()


def clean_latents(sampler: Sampler, pixels: Pixels) -> Tensor:
    """(N, ...) fp32 latents of (N, 3, H, W) images in 0..1, in the transformer's layout, on the CPU.

    The mode of the VAE's posterior, image by image: an image's latents don't depend on its neighbours.
    Raises CheckpointError where they aren't finite.
    """
    with pinned():
        latents = sampler.adapter.latents_from_pixels(
            sampler.pipeline, torch.from_numpy(np.asarray(pixels, dtype=np.float32))
        )
    if not torch.isfinite(latents).all():
        dtype = sampler.pipeline.vae.dtype
        raise CheckpointError(f"the VAE overflows in {dtype}; load the checkpoint in bfloat16 or float32")
    return latents


def draw(sampler: Sampler, prompts: Sequence[str], level: float) -> Tensor:
    """(N, ...) fp32 noise in the transformer's layout, on the CPU: one draw per (prompt, level)."""
    generators = [generator_for(f"{prompt}\n{level!r}", 0) for prompt in prompts]
    return torch.cat([sampler.adapter.noise(sampler.pipeline, sampler.settings, g) for g in generators])


def _positive(value: Any, rows: int) -> Any:
    return value[rows // 2 :] if isinstance(value, Tensor) and value.ndim and len(value) == rows else value


def _captioned_images(lab: Lab, images: Pixels | None, captions: Sequence[str] | None) -> CaptionedImages:
    settings = lab.sampler.settings
    if images is None:
        if captions is not None:
            raise PromptError("captions without images; give both, or neither")
        layouts = checker.layouts_of(lab.checkpoint.settings, lab.prompts)
        own = lab.control_images() if layouts is None else render.render(layouts)
        return CaptionedImages(own.astype(np.float32) / 255.0, tuple(lab.prompts))
    if captions is None or len(captions) != len(images) or not len(images):
        raise PromptError(f"{len(images)} images with {len(captions or ())} captions; each image needs one")
    if images.shape[1:] != (3, settings.height, settings.width):
        raise PromptError(
            f"images of shape {images.shape[1:]}, and the checkpoint makes (3, {settings.height}, {settings.width}); "
            "read_images brings files to that size"
        )
    if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        raise PromptError("images must have values in 0..1; divide bytes by 255")
    lab.sampler.check(list(captions))
    return CaptionedImages(images.astype(np.float32), tuple(captions))


def _caption(path: Path) -> str:
    beside = path.with_suffix(".txt")
    try:
        caption = " ".join(beside.read_text(encoding="utf-8-sig").split())
    except FileNotFoundError:
        raise PromptError(f"image {path.name} has no caption; write it into {beside}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"can't read the caption {beside}: {error}") from None
    if not caption:
        raise PromptError(f"the caption {beside} is empty; say what {path.name} shows")
    return caption


def _read(path: Path, height: int, width: int) -> Pixels:
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise PromptError(f"can't read the image {path}: {error}") from None
    scale = max(height / image.height, width / image.width)
    size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    image = image.resize(size, Image.Resampling.LANCZOS).crop((left, top, left + width, top + height))
    return np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(255.0)

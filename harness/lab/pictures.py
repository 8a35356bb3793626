"""Pictures with a description each, for models that take an image apart: from a folder, or of the bundled world."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from harness.errors import DataError, PromptError
from harness.tiny import render, world

_SIDE = 32  # pixels: what the sides of a decomposition are multiples of
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Picture(NamedTuple):
    """An image, and what can be seen on it, hidden parts included."""

    image: Image.Image
    prompt: str


def checked_picture(number: int, image: object, prompt: object) -> Picture:
    """A picture that somebody has made, in RGBA. Raises DataError without an image, PromptError without a text."""
    if not isinstance(image, Image.Image):
        raise DataError(f"picture {number} is a {type(image).__name__}, not an image of PIL; use PIL.Image.open(path)")
    if not isinstance(prompt, str) or not prompt.strip():
        # The pipeline would have its text encoder write one, drawn at random where the encoder's settings say so.
        raise PromptError(f"picture {number} has no description; write down what is on it")
    return Picture(image.convert("RGBA"), prompt)


def by_prompt(pictures: Sequence[tuple[Image.Image, str]], resolution: int) -> dict[str, Image.Image]:
    """The images by their texts, for a lab that knows its images by their prompts alone.

    ``resolution`` is that of the decomposition. Raises DataError without pictures, and as :func:`checked_picture`;
    where two have one text, since their layers could not be told apart; and where their layers are of several sizes,
    which could not be compared as a set.
    """
    checked = [checked_picture(number, *pair) for number, pair in enumerate(pictures)]
    if not checked:
        raise DataError("0 pictures: it takes one or more")
    texts: dict[str, int] = {}
    for number, picture in enumerate(checked):
        if (first := texts.setdefault(picture.prompt, number)) != number:
            raise DataError(
                f"pictures {first} and {number} have the same text, and so the same latents: {picture.prompt[:60]!r}; "
                "write down what tells them apart"
            )
    sizes = [_size_of_layers(picture.image, resolution) for picture in checked]
    for number, size in enumerate(sizes):
        if size != sizes[0]:
            (width, height), (other_width, other_height) = sizes[0], size
            raise DataError(
                f"the layers of picture 0 are {width} x {height} px, and those of picture {number} "
                f"{other_width} x {other_height}; cut the pictures to one aspect ratio (LayeredLab takes several)"
            )
    return {picture.prompt: picture.image for picture in checked}


def _size_of_layers(image: Image.Image, resolution: int) -> tuple[int, int]:
    """Width and height of an image's layers, as diffusers' calculate_dimensions."""
    width = math.sqrt(resolution * resolution * (image.width / image.height))
    height = width / (image.width / image.height)
    return round(width / _SIDE) * _SIDE, round(height / _SIDE) * _SIDE


def digest(pictures: Mapping[str, Image.Image]) -> str:
    """Twelve hex digits that stand for the pictures' pixels and texts, and their order."""
    content = hashlib.sha256()
    for prompt, image in pictures.items():
        content.update(f"{image.mode} {image.size} {prompt}\n".encode())
        content.update(image.tobytes())
    return content.hexdigest()[:12]


def read_pictures(folder: str | Path) -> list[Picture]:
    """The images of a folder by name, each as RGBA, with the text of the file ``NAME.txt`` beside it as its prompt.

    Raises DataError where there is no image, where one can't be read, or where one has no text.
    """
    return [_read(path) for path in picture_paths(folder)]


def picture_paths(folder: str | Path) -> list[Path]:
    """The images of a folder by name. Raises DataError where there is none."""
    folder = Path(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise DataError(f"{folder}: no images here ({', '.join(_SUFFIXES)})")
    return paths


def _read(path: Path) -> Picture:
    text = path.with_suffix(".txt")
    try:
        prompt = " ".join(text.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{text}: not readable; write down what is on {path.name} ({error})") from error
    if not prompt:
        raise DataError(f"{text}: empty; write down what is on {path.name}")
    try:
        with Image.open(path) as image:
            return Picture(image.convert("RGBA"), prompt)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not an image that can be read ({error})") from error


def drawn_pictures(prompts: Sequence[str]) -> list[Picture]:
    """Prompts of the bundled models, each with the image that it describes, drawn without a model; 40 x 40 pixels.

    Raises PromptError for a text that is not one of their sentences.
    """
    try:
        layouts = world.parse_all(prompts)
    except ValueError as error:
        raise PromptError(f"{error}; only the bundled models' prompts can be drawn, others need a picture") from error
    images = render.render(layouts).transpose(0, 2, 3, 1)
    return [
        Picture(Image.fromarray(pixels).convert("RGBA"), prompt) for pixels, prompt in zip(images, prompts, strict=True)
    ]

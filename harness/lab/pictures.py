"""Pictures with a description each, for models that take an image apart: from a folder, or of the bundled world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from harness.errors import DataError, PromptError
from harness.tiny import render, world

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


class Picture(NamedTuple):
    """An image, and what can be seen on it, hidden parts included."""

    image: Image.Image
    prompt: str


def read_pictures(folder: str | Path) -> list[Picture]:
    """The images of a folder by name, each as RGBA, with the text of the file ``NAME.txt`` beside it as its prompt.

    Raises DataError where there is no image, where one can't be read, or where one has no text.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise DataError(f"{folder}: no images here ({', '.join(_SUFFIXES)})")
    return [_read(path) for path in paths]


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

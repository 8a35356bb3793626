"""What the pictures of a run are put together from: one image as a tile, captions that fit, files."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from harness.errors import printable
from harness.files import write_atomically

IMAGES = "images"  # of a run folder: the pictures of its cases

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def font(size: int) -> Font:
    """Pillow's own font, so that pictures are alike on every machine."""
    return ImageFont.load_default(size=size)


def tile(image: npt.NDArray[np.uint8], width: int, height: int) -> Image.Image:
    """A (3, H, W) uint8 image as a picture of that size; a small one is enlarged so that a pixel stays a pixel."""
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    way = Image.Resampling.NEAREST if picture.width < width else Image.Resampling.LANCZOS
    return picture.resize((width, height), way)


def wrapped(text: str, font: Font, width: int, lines: int) -> list[str]:
    """The text in at most ``lines`` lines of at most ``width`` pixels; what doesn't fit ends in three dots."""
    draw = ImageDraw.Draw(Image.new("L", (1, 1)))
    out: list[str] = []
    rest = " ".join(printable(text).split())
    while rest and len(out) < lines:
        fits = _fitting(rest, font, width, draw)
        if fits < len(rest) and len(out) == lines - 1:
            line = rest[: _fitting(rest, font, width - int(draw.textlength("...", font=font)), draw)]
            return [*out, f"{line}..."]
        # At a blank where there is one, else inside a long word.
        end = fits if fits == len(rest) else rest.rfind(" ", 0, fits + 1)
        end = end if end > 0 else fits
        out.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return out


def _fitting(text: str, font: Font, width: int, draw: ImageDraw.ImageDraw) -> int:
    """How many characters of a text fit into ``width`` pixels, by bisection; at least one."""
    low, high = 1, min(len(text), max(1, width))  # no character is narrower than a pixel
    while low < high:
        middle = (low + high + 1) // 2
        if draw.textlength(text[:middle], font=font) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def save_png(picture: Image.Image, path: Path, texts: dict[str, str] | None = None) -> None:
    """Write a picture as PNG, with ``texts`` inside the file by key. Raises HarnessError where it can't be written."""
    inside = PngInfo()
    for key, text in (texts or {}).items():
        inside.add_text(key, text)
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG", pnginfo=inside)
    write_atomically(path, encoded.getvalue())

"""All images of a variant in one picture, a tile a prompt: what the HTML report shows beside the control's.

One file a variant rather than one a prompt: a run of 1,000 variants of 48 prompts has 1,000 pictures, and the report
loads the one that is looked at.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from harness.errors import printable
from harness.files import parse_json, write_atomically
from harness.report.tiles import IMAGES, tile
from harness.results.arrays import Images

_TILE = 512  # pixels of the longer side of an image, at most: enough to judge detail and hands
_SHEET = 4096  # pixels of a side of the whole, which every browser can decode
_LOSSLESS = 128  # pixels of the longer side up to which every pixel is kept
_QUALITY = 90
_TEXT = 2000  # characters of a prompt


def sheet_path(folder: Path, case: str) -> Path:
    """Where a run folder keeps the sheet of a case's images."""
    return folder / IMAGES / f"{case}-sheet.webp"


def texts_path(folder: Path, checkpoint: str) -> Path:
    """Where a run folder keeps the texts of the prompts whose images its sheets show."""
    return folder / IMAGES / f"{checkpoint}-prompts.json"


def save_texts(texts: Sequence[str], path: Path) -> None:
    """Write the prompts' texts. Raises HarnessError where they can't be."""
    write_atomically(path, json.dumps([text[:_TEXT] for text in texts]) + "\n")


def read_texts(path: Path) -> list[str]:
    """The prompts' texts, each as one printable line; none where there are none, or the file is no list of texts."""
    try:
        texts = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return []
    return [printable(text)[:_TEXT] for text in texts]


def sheet_columns(count: int) -> int:
    """How many tiles stand side by side; the first row is filled first."""
    return math.isqrt(max(count, 1) - 1) + 1


def save_image_sheet(images: Images, path: Path) -> None:
    """Write (N, 3, H, W) uint8 images as one WebP picture, in their order. Raises HarnessError where it can't be."""
    columns = sheet_columns(len(images))
    height, width = images.shape[2:]
    scale = min(1.0, min(_TILE, _SHEET // columns) / max(width, height))
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    sheet = Image.new("RGB", (columns * wide, -(-len(images) // columns) * high))
    for i, image in enumerate(images):
        sheet.paste(tile(image, wide, high), (i % columns * wide, i // columns * high))
    encoded = io.BytesIO()
    sheet.save(encoded, format="WEBP", lossless=max(width, height) <= _LOSSLESS, quality=_QUALITY)
    write_atomically(path, encoded.getvalue())

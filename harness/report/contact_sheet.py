"""Pictures: a strip of a variant's first images, and the contact sheet of all strips, labelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from harness.ablation.case import Case
from harness.files import replacing
from harness.results.ranking import Ranking

SHOWN = 8  # prompts in a strip
TILE = 80  # pixels of a tile in the sheet
LABEL = 330
GAP = 2
HEADER = 22


def keep_strips(
    folder: Path, case: Case, images: npt.NDArray[np.uint8], control: Callable[[], npt.NDArray[np.uint8]]
) -> None:
    """A variant's strip, and its control's where there is none yet; nothing for a variant without images."""
    if len(images):
        save_strip(images, folder / "images" / f"{case.id}.png")
        base = folder / "images" / f"{case.checkpoint}-control.png"
        if not base.exists():
            save_strip(control(), base)


def save_strip(images: npt.NDArray[np.uint8], path: Path) -> None:
    """The first images side by side, as one PNG; large images are scaled down. Raises HarnessError."""
    tiles = [_tile(image) for image in images[:SHOWN]]
    strip = Image.new("RGB", (len(tiles) * (TILE + GAP) - GAP, TILE), "white")
    for i, tile in enumerate(tiles):
        strip.paste(tile, (i * (TILE + GAP), 0))
    _save(strip, path)


def _tile(image: npt.NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    # Small pictures are enlarged without smoothing, so that a pixel stays a pixel.
    way = Image.Resampling.NEAREST if picture.width < TILE else Image.Resampling.LANCZOS
    return picture.resize((TILE, TILE), way)


def _save(picture: Image.Image, path: Path) -> None:
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG")


def write_sheets(folder: Path, rankings: Sequence[Ranking]) -> list[Path]:
    """``contact-<checkpoint>.png``: the control and every variant, least harmful first, where strips were kept."""
    written: list[Path] = []
    for ranking in rankings:
        lines = [("control", folder / "images" / f"{ranking.checkpoint}-control.png")]
        for row in ranking.rows:
            name = row.case.removeprefix(f"{ranking.checkpoint}-")
            worth = "" if row.harm is None else f"  {row.harm:.2f} sd"
            lines.append((f"{row.rank:3d}  {name}{worth}", folder / "images" / f"{row.case}.png"))
        lines = [(label, path) for label, path in lines if path.exists()]
        if lines:
            path = folder / f"contact-{ranking.checkpoint}.png"
            _save(_sheet(ranking.checkpoint, lines), path)
            written.append(path)
    return written


def _sheet(title: str, lines: Sequence[tuple[str, Path]]) -> Image.Image:
    font = ImageFont.load_default(size=13)
    width = LABEL + SHOWN * (TILE + GAP)
    sheet = Image.new("RGB", (width, HEADER + len(lines) * (TILE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 3), f"{title}: least harmful first; columns are prompts 1 to {SHOWN}, seed 0", "black", font=font)
    for i, (label, path) in enumerate(lines):
        top = HEADER + i * (TILE + GAP)
        draw.text((6, top + TILE // 2 - 8), label, "black", font=font)
        with Image.open(path) as strip:
            sheet.paste(strip, (LABEL, top))
    return sheet

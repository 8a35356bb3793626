"""Pictures: a strip of a variant's first images, and the contact sheet of all strips, labelled."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError

from harness.ablation.case import Case
from harness.errors import HarnessError, first_line
from harness.files import write_atomically
from harness.report.text import with_unit
from harness.results.arrays import Images
from harness.results.ranking import Ranking

_SHOWN = 8  # prompts in a strip
_TILE = 80  # pixels of a tile in the sheet
_LABEL = 330
_GAP = 2
_HEADER = 22


def strip_path(folder: Path, case: str) -> Path:
    """Where a run folder keeps the strip of a case's images."""
    return folder / "images" / f"{case}.png"


def keep_strips(folder: Path, case: Case, images: Images, control: Callable[[], Images]) -> None:
    """A variant's strip, and its control's where there is none yet; nothing for a variant without images.

    Raises HarnessError where one can't be written.
    """
    if len(images):
        _save_strip(images, strip_path(folder, case.id))
        base = strip_path(folder, f"{case.checkpoint}-control")
        if not base.exists():
            _save_strip(control(), base)


def _save_strip(images: Images, path: Path) -> None:
    """The first images side by side, as one PNG; large images are scaled down. Raises HarnessError."""
    tiles = [_tile(image) for image in images[:_SHOWN]]
    strip = Image.new("RGB", (len(tiles) * (_TILE + _GAP) - _GAP, _TILE), "white")
    for i, tile in enumerate(tiles):
        strip.paste(tile, (i * (_TILE + _GAP), 0))
    _save(strip, path)


def _tile(image: npt.NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    # Small pictures are enlarged without smoothing, so that a pixel stays a pixel.
    way = Image.Resampling.NEAREST if picture.width < _TILE else Image.Resampling.LANCZOS
    return picture.resize((_TILE, _TILE), way)


def _save(picture: Image.Image, path: Path) -> None:
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    write_atomically(path, encoded.getvalue())


def write_sheets(folder: Path, rankings: Sequence[Ranking], problem: Callable[[str], None] | None = None) -> list[Path]:
    """``contact-<checkpoint>.png``: the control and every variant, least harmful first, where strips were kept.

    Strips are kept by case, so there is no sheet of a checkpoint that was measured in several ways. ``problem`` is
    called with a line for each picture that can't be read or written; raises HarnessError where it is None.
    """

    def trouble(line: str) -> None:
        if problem is None:
            raise HarnessError(line)
        problem(line)

    written: list[Path] = []
    several = {ranking.checkpoint for ranking in rankings if ranking.apart}
    for ranking in rankings:
        if ranking.checkpoint in several:
            continue
        lines = [("control", strip_path(folder, f"{ranking.checkpoint}-control"))]
        for row in ranking.rows:
            name = row.case.removeprefix(f"{ranking.checkpoint}-")
            harm = "" if row.harm is None else f"  {with_unit('harm', row.harm)}"
            if is_name(row.case):
                lines.append((f"{row.rank:3d}  {name}{harm}", strip_path(folder, row.case)))
        lines = [(label, path) for label, path in lines if is_name(path.stem) and path.exists()]
        if lines and is_name(ranking.checkpoint):
            path = folder / f"contact-{ranking.checkpoint}.png"
            try:
                _save(_sheet(ranking.checkpoint, lines, trouble), path)
            except HarnessError as error:
                trouble(str(error))
            else:
                written.append(path)
    return written


def is_name(text: str) -> bool:
    """Whether a text of a journal, which may be anybody's, names a file in a folder, and no path out of it."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", text) is not None


def _sheet(title: str, lines: Sequence[tuple[str, Path]], problem: Callable[[str], None]) -> Image.Image:
    font = ImageFont.load_default(size=13)
    width = _LABEL + _SHOWN * (_TILE + _GAP)
    sheet = Image.new("RGB", (width, _HEADER + len(lines) * (_TILE + _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 3), f"{title}: least harmful first; columns are prompts 1 to {_SHOWN}, seed 0", "black", font=font)
    for i, (label, path) in enumerate(lines):
        top = _HEADER + i * (_TILE + _GAP)
        draw.text((6, top + _TILE // 2 - 8), label, "black", font=font)
        try:
            with Image.open(path) as strip:
                sheet.paste(strip, (_LABEL, top))
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            problem(f"can't read the picture {path}: {first_line(error)}")
    return sheet

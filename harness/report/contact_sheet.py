"""The contact sheet: the control and every variant, a strip of their first images each, with prompts and figures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, UnidentifiedImageError

from harness.ablation.case import Case
from harness.errors import HarnessError, first_line, printable, refuse
from harness.report.text import number, with_unit
from harness.report.tiles import IMAGES, font, save_png, tile, wrapped
from harness.results.arrays import Images
from harness.results.ranking import Ranking
from harness.results.ranking_row import Row

_SHOWN = 8  # prompts in a strip
_TILE = 80  # pixels of a tile in the sheet
_LABEL = 330
_GAP = 2
_TITLE = 22
_TEXT_LINES, _LINE = 5, 12  # of a prompt above its column
_ROWS = 20  # between two heads
_PROMPTS = "prompts"  # the key of the prompts' texts inside the control's strip


class _Line(NamedTuple):
    """One row of a sheet: the texts before it, and its strip."""

    label: tuple[str, ...]
    strip: Path


def _strip_path(folder: Path, case: str) -> Path:
    """Where a run folder keeps the strip of a case's images."""
    return folder / IMAGES / f"{case}.png"


def keep_strips(folder: Path, case: Case, images: Images, control: Images, texts: Sequence[str] = ()) -> None:
    """A variant's strip, and its control's where there is none yet, which also holds the prompts' ``texts``.

    Raises HarnessError where one can't be written.
    """
    _save_strip(images, _strip_path(folder, case.id))
    base = _strip_path(folder, f"{case.checkpoint}-control")
    if not base.exists():
        _save_strip(control, base, {_PROMPTS: json.dumps([text[:200] for text in texts[:_SHOWN]])})


def _save_strip(images: Images, path: Path, texts: dict[str, str] | None = None) -> None:
    """The first images side by side, as one PNG; large images are scaled down. Raises HarnessError."""
    tiles = [tile(image, _TILE, _TILE) for image in images[:_SHOWN]]
    strip = Image.new("RGB", (len(tiles) * (_TILE + _GAP) - _GAP, _TILE), "white")
    for i, picture in enumerate(tiles):
        strip.paste(picture, (i * (_TILE + _GAP), 0))
    save_png(strip, path, texts)


def write_sheets(folder: Path, rankings: Sequence[Ranking], problem: Callable[[str], None] = refuse) -> list[Path]:
    """``contact-<checkpoint>.png``: the control and every variant, least harmful first, where strips were kept.

    Strips are kept by case, so there is no sheet of a checkpoint that was measured in several ways. ``problem`` is
    called with a line for each picture that can't be read or written; without it, HarnessError is raised for the first.
    """
    written: list[Path] = []
    several = {ranking.checkpoint for ranking in rankings if ranking.apart}
    for ranking in rankings:
        if ranking.checkpoint in several:
            continue
        lines = [_Line(("control",), _strip_path(folder, f"{ranking.checkpoint}-control"))]
        lines += [
            _Line(_label(row, ranking.checkpoint), _strip_path(folder, row.case))
            for row in ranking.rows
            if is_name(row.case)
        ]
        lines = [line for line in lines if is_name(line.strip.stem) and line.strip.exists()]
        if lines and is_name(ranking.checkpoint):
            path = folder / f"contact-{ranking.checkpoint}.png"
            try:
                save_png(_sheet(ranking.checkpoint, lines, problem), path)
            except HarnessError as error:
                problem(str(error))
            else:
                written.append(path)
    return written


def _label(row: Row, checkpoint: str) -> tuple[str, ...]:
    """``3  double-L01-03-skip`` and ``harm 33.41 sd   speed-up 1.25*``: whatever of the two was measured."""
    figures = [] if row.harm is None else [f"harm {with_unit('harm', row.harm)}"]
    if row.latency is not None:
        figures.append(f"speed-up {number(row.latency.ratio, '.2f')}{'*' if row.pareto else ''}")
    name = f"{row.rank}  {row.case.removeprefix(f'{checkpoint}-')}"
    return (name, "   ".join(figures)) if figures else (name,)


def is_name(text: str) -> bool:
    """Whether a text of a journal, which may be anybody's, names a file in a folder, and no path out of it."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", text) is not None


def _sheet(title: str, lines: Sequence[_Line], problem: Callable[[str], None]) -> Image.Image:
    """The title, and the rows with the prompts' texts above the first one and again after every twenty."""
    text = font(13)
    strips = [_read(line.strip, problem) for line in lines]
    prompts = _prompts(strips[0])
    head = _column_heads(prompts)
    step = _TILE + _GAP
    heads = -(-len(lines) // _ROWS)
    sheet = Image.new("RGB", (_LABEL + _SHOWN * step, _TITLE + heads * head.height + len(lines) * step), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((6, 3), f"{title}: least harmful first; columns are prompts 1 to {_SHOWN}, seed 0", "black", font=text)
    top = _TITLE
    for i, (line, strip) in enumerate(zip(lines, strips, strict=True)):
        if i % _ROWS == 0:
            sheet.paste(head, (_LABEL, top))
            top += head.height
        for j, label in enumerate(line.label):
            draw.text((6, top + _TILE // 2 - 8 * len(line.label) + 17 * j), label, "black", font=text)
        if strip is not None:
            sheet.paste(strip, (_LABEL, top))
        top += step
    return sheet


def _column_heads(prompts: Sequence[str]) -> Image.Image:
    """The number of each column's prompt and the beginning of its text, where that is known."""
    small = font(10)
    step = _TILE + _GAP
    texts = [wrapped(text, small, _TILE - 2, _TEXT_LINES) for text in prompts]
    tallest = max(map(len, texts), default=0)
    head = Image.new("RGB", (_SHOWN * step, (tallest + 1) * _LINE + 4), "white")
    draw = ImageDraw.Draw(head)
    for i in range(_SHOWN):
        for j, line in enumerate((f"#{i + 1}", *(texts[i] if i < len(texts) else ()))):
            draw.text((i * step, j * _LINE), line, "black", font=small)
    return head


def _read(path: Path, problem: Callable[[str], None]) -> Image.Image | None:
    """A strip, with the texts inside its file; ``problem`` says why there is none."""
    try:
        with Image.open(path) as strip:
            return strip.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        problem(f"can't read the picture {path}: {first_line(error)}")
        return None


def _prompts(strip: Image.Image | None) -> list[str]:
    """The prompts' texts inside the control's strip, which may be anybody's; none where there are none."""
    inside = strip.info.get(_PROMPTS, "") if strip is not None else ""
    try:
        texts = json.loads(inside) if isinstance(inside, str) and inside else []
    except (ValueError, RecursionError):
        return []
    if not isinstance(texts, list):
        return []
    return [printable(text)[:200] if isinstance(text, str) else "" for text in texts[:_SHOWN]]

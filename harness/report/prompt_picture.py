"""A picture of a variant: the prompts that lost most and a few fixed ones, control beside variant, with their texts.

The images are large enough to judge detail, hands and text: at their own size up to 512 pixels where the variant is
red, up to 256 where it is not; images of fewer than 192 pixels are enlarged without smoothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from harness.report.text import number
from harness.report.tiles import IMAGES, font, save_png, tile, wrapped
from harness.report.worst_prompts import PromptHarm, worst
from harness.results.arrays import Images

_FIXED = 2  # the first prompts of the file, the same for all variants
_BOUND, _BOUND_GREEN = 512, 256  # pixels of the longer side
_LEAST = 192
_NARROWEST = 560  # pixels of the whole picture, for the captions
_GAP = 6
_FONT, _LINE = 13, 17
_TEXT_LINES = 3
_PLACES = ("worst", "second worst", "third worst")


def picture_path(folder: Path, case: str) -> Path:
    """Where a run folder keeps the picture of a case."""
    return folder / IMAGES / f"{case}-prompts.png"


def shown(prompts: Sequence[PromptHarm]) -> list[PromptHarm]:
    """The prompts in a variant's picture: those that lost most, the worst first, then the first two of the file."""
    cited = worst(prompts)
    return [*cited, *(prompt for prompt in prompts[:_FIXED] if prompt not in cited)]


def save_picture(
    path: Path, title: str, control: Images, variant: Images, prompts: Sequence[PromptHarm], *, red: bool
) -> None:
    """Draw and write the picture of one variant.

    ``control`` and ``variant`` are (N, 3, H, W) uint8, the images of the same N prompts and seed. Raises HarnessError
    where it can't be written.
    """
    rows = shown(prompts)
    width, height = _size(variant.shape[3], variant.shape[2], _BOUND if red else _BOUND_GREEN)
    whole = max(2 * width + 3 * _GAP, _NARROWEST)
    text = font(_FONT)
    captions = [[_caption(p, rows), *wrapped(p.text, text, whole - 2 * _GAP, _TEXT_LINES)] for p in rows]
    heading = wrapped(f"{title}: control left, variant right; seed 0", text, whole - 2 * _GAP, 2)
    top = len(heading) * _LINE + 2 * _GAP
    picture = Image.new("RGB", (whole, top + sum(len(c) * _LINE + height + 3 * _GAP for c in captions)), "white")
    draw = ImageDraw.Draw(picture)
    draw.multiline_text((_GAP, _GAP), "\n".join(heading), "black", font=text, spacing=_LINE - _FONT)
    for prompt, caption in zip(rows, captions, strict=True):
        for place, images in enumerate((control, variant)):
            picture.paste(tile(images[prompt.number - 1], width, height), (_GAP + place * (width + _GAP), top))
        top += height + _GAP
        for line in caption:
            draw.text((_GAP, top), line, "black", font=text)
            top += _LINE
        top += 2 * _GAP
    save_png(picture, path)


def _size(width: int, height: int, bound: int) -> tuple[int, int]:
    """The size at which an image is shown: its own, a whole multiple of a small one's, or a large one's scaled down."""
    longer = max(width, height)
    if longer > bound:
        return max(1, round(width * bound / longer)), max(1, round(height * bound / longer))
    times = math.ceil(_LEAST / longer)
    return width * times, height * times


def _caption(prompt: PromptHarm, rows: Sequence[PromptHarm]) -> str:
    """``#59  harm 101.6 sd  (worst)``."""
    cited = worst(rows)
    why = _PLACES[cited.index(prompt)] if prompt in cited else "shown for every variant"
    return f"#{prompt.number}  harm {number(prompt.harm, '.1f')} sd  ({why})"

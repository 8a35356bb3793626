"""Where each part of a sheet goes, in inches from its top left corner: one layout for the PNG and for the page."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from harness.report.figures.sheet import Axis, Cloud, Dots, Heat, Panel, Sheet, SheetRow

_WIDTH = 9.0  # a README is about 900 pixels wide
SIZE = 9.0  # points: the smallest text
_LETTER = 0.085  # width of a letter of that size, on the safe side
_NOTE_LETTER = 0.0725  # in a long line
LINE = 0.17
EDGE = 0.12
TITLE = 0.3
_ROW_TITLE = 0.24
_TICKS = 0.22
_AXIS_TITLE = 0.2
_LAST = 0.22  # right of the last panel: half of its last tick
_GAP = 0.22  # between stacks: wide enough to see that they are not joined
_BAR_GAP, _BAR = 0.09, 0.13
_BAR_TEXT = 0.78  # of a colour bar: its ticks and its label
_BELOW = 0.16  # a row
_CELL = 0.45  # a square of few cells grows no further
_SIDE = (3.4, 5.6)
_NARROWEST = 0.15  # of a row's width, for a panel of few blocks beside many


@dataclass(frozen=True)
class Rect:
    """A rectangle in inches; ``top`` counts downwards."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Place:
    """A panel, its place, the place of its colour bar if it draws one, and which of its axes it labels."""

    panel: Panel
    rect: Rect
    bar: Rect | None
    x_title: bool
    y_ticks: bool


@dataclass(frozen=True)
class Layout:
    """A sheet laid out. ``titles`` are the row titles with the place of their left upper corner."""

    sheet: Sheet
    width: float
    height: float
    header: float
    note: tuple[str, ...]
    places: tuple[Place, ...]
    titles: tuple[tuple[str, float, float], ...]


def lay_out(sheet: Sheet) -> Layout:
    """Every row from the top down, all starting at the same left margin."""
    note = tuple(textwrap.wrap(sheet.caption, int((_WIDTH - 2 * EDGE) / _NOTE_LETTER)))
    header = EDGE + TITLE + LINE * len(note) + 0.1
    left = EDGE + max(_y_room(row.panels[0]) for row in sheet.rows)
    top = header
    places: list[Place] = []
    titles: list[tuple[str, float, float]] = []
    for number, row in enumerate(sheet.rows):
        below = sheet.rows[number + 1] if number + 1 < len(sheet.rows) else None
        if row.title:
            titles.append((row.title, left, top))
            top += _ROW_TITLE
        lines = max(len(panel.title.splitlines()) for panel in row.panels)
        top += LINE * lines + 0.06 if lines else 0.0
        made = _row(row, below, left, top)
        places += made
        shown = any(place.x_title for place in made)
        top += made[0].rect.height + _TICKS + (_AXIS_TITLE if shown else 0.0) + _BELOW
    return Layout(sheet, _WIDTH, top - _BELOW + EDGE, header, note, tuple(places), tuple(titles))


def _row(row: SheetRow, below: SheetRow | None, left: float, top: float) -> list[Place]:
    panels = row.panels
    bars = [_bar_after(panels, i) for i in range(len(panels))]
    labelled = [i == 0 or _labels_y(panels[i - 1], panels[i], barred=bars[i - 1]) for i in range(len(panels))]
    slots = max(len(row.weights), len(panels))
    taken = _GAP * (slots - 1) + (_BAR_GAP + _BAR + _BAR_TEXT if bars[-1] else _LAST)
    for i in range(1, len(panels)):
        taken += (_y_room(panels[i]) if labelled[i] else 0.0) + (_BAR_GAP + _BAR + _BAR_TEXT if bars[i - 1] else 0.0)
    if isinstance(panels[0], Cloud):
        taken += (slots - len(panels)) * _y_room(panels[0])
    weights = row.weights or (1.0,) * len(panels)
    weights = tuple(max(w, _NARROWEST * sum(weights)) for w in weights)
    room = _WIDTH - left - taken
    widths = [room * weight / sum(weights) for weight in weights[: len(panels)]]
    if row.height is None:
        widths = [min(width, _side(panel)) for width, panel in zip(widths, panels, strict=True)]
    height = widths[0] if row.height is None else row.height
    places = []
    for i, panel in enumerate(panels):
        if i:
            left += _GAP + (_y_room(panel) if labelled[i] else 0.0)
        rect = Rect(left, top, widths[i], height)
        left += widths[i]
        bar = Rect(left + _BAR_GAP, top, _BAR, height) if bars[i] else None
        left += _BAR_GAP + _BAR + _BAR_TEXT if bars[i] else 0.0
        places.append(Place(panel, rect, bar, _titles_x(panel, below, i), labelled[i]))
    return places


def _side(panel: Panel) -> float:
    if not isinstance(panel, Heat):
        return _SIDE[1]
    return min(_SIDE[1], max(_SIDE[0], _CELL * len(panel.x.ticks)))


def _bar_after(panels: tuple[Panel, ...], i: int) -> bool:
    """Neighbours of one colour scale share its bar, after the last of them."""
    panel = panels[i]
    if not isinstance(panel, Heat):
        return False
    after = panels[i + 1] if i + 1 < len(panels) else None
    return not (isinstance(after, Heat) and after.scale == panel.scale)


def _labels_y(before: Panel, panel: Panel, *, barred: bool) -> bool:
    if isinstance(panel, Heat) and isinstance(before, Heat):
        return barred or panel.y != before.y
    if isinstance(panel, Dots) and isinstance(before, Dots):
        return panel.reach != before.reach
    return True


def _titles_x(panel: Panel, below: SheetRow | None, i: int) -> bool:
    """An axis title that stands again right below is left out."""
    if below is None or i >= len(below.panels):
        return True
    other = below.panels[i]
    if isinstance(panel, Cloud) or isinstance(other, Cloud):
        return True
    return panel.x.title != other.x.title


def _y_room(panel: Panel) -> float:
    longest = max(map(len, panel.y.ticks)) if isinstance(panel, Heat) else 4
    return _AXIS_TITLE + 0.12 + _LETTER * longest


def shown_ticks(axis: Axis, length: float, *, upright: bool) -> list[int]:
    """Cells whose ticks have room on an axis of ``length`` inches: the first, round numbers, and the last if it can."""
    count = len(axis.ticks)
    pitch = length / count

    def clear(i: int, j: int) -> bool:
        letters = (len(axis.ticks[i]) + len(axis.ticks[j])) / 2
        return abs(i - j) * pitch >= (0.15 if upright else _LETTER * letters + 0.08)

    step = next((s for s in (1, 2, 5, 10, 20) if s < count and all(clear(i, i + s) for i in range(1, count - s))), 50)
    kept = [0]
    for i in range(1, count):
        text = axis.ticks[i]
        place = int(text) if text.isdigit() else i
        odd = step == 2 and axis.ticks[0] == "1"  # 1, 3, 5, but 1, 5, 10
        if place % step == odd and clear(kept[-1], i):
            kept.append(i)
    if kept[-1] != count - 1 and clear(kept[-1], count - 1):
        kept.append(count - 1)
    return kept

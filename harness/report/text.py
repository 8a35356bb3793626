"""Numbers, counts, paths and cells as text: the one place that says how they are written."""

from __future__ import annotations

import math
from pathlib import Path

from harness.errors import printable
from harness.results.columns import figure

NOTHING = "-"


def number(value: float | None, form: str) -> str:
    """A number by its format (``.2f``); a dash where there is none, or none that is finite."""
    return NOTHING if value is None or not math.isfinite(value) else format(value, form)


def with_unit(name: str, value: float | None) -> str:
    """A figure as the table writes it, with its unit: ``0.42 sd``."""
    declared = figure(name)
    if declared is None:
        return number(value, ".4g")
    return f"{number(value, declared.form)} {declared.unit}".rstrip()


def titled(name: str) -> str:
    """A figure's label with its unit, as the title of an axis: ``harm (sd)``."""
    declared = figure(name)
    if declared is None:
        return name
    return f"{declared.label} ({declared.unit})" if declared.unit else declared.label


def counted(count: int, noun: str) -> str:
    """``1 image``, ``3,648 images``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.4 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def tick_label(value: float) -> str:
    """The label of a tick on an axis, as short as it can be: ``0.25``, ``1e-5``."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}"
    digits, power = f"{value:.5e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def spreadsheet_text(value: object) -> object:
    """A cell of a CSV file; a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if len(text) > 1 and text[0] in "=+-@" else text


def relative(path: Path, start: Path) -> Path:
    """A path as it is written in ``start``, a folder above it; any other path as it is."""
    return path.relative_to(start) if path.is_relative_to(start) else path

"""One HTML page for all figures, complete in itself: plotly.js and every number are in it, and nothing is fetched."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.report.figures.html_traces import interactive
from harness.report.figures.sheet import Sheet
from harness.report.html.shell import render


def page(title: str, sheets: Sequence[Sheet]) -> str:
    """The page's text: sheets under their sections, in their order. The same text for the same sheets."""
    numbered = [
        (sheet.section, {"name": sheet.name, "title": sheet.title, "caption": sheet.caption, "number": i})
        for i, sheet in enumerate(sheets)
    ]
    sections = [
        {"name": name, "sheets": [sheet for _, sheet in group]} for name, group in groupby(numbered, key=lambda x: x[0])
    ]
    return render(
        "figures.html.j2",
        title=title,
        data=[interactive(sheet) for sheet in sheets],
        scripts=("figures.js",),
        plotly=True,
        sections=sections,
    )

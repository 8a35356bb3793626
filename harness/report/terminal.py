"""The ranking on a terminal, by rich; as wide as the terminal, in colours where it has them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.ranking import Ranking, rank
from harness.records import Record, Status
from harness.report.table import GROUP_HEAD, HEAD, cells, group_cells

LEFT = {"variant", "plan", "stack", "range", "strategy", "gate"}
# What is left out where the terminal is narrow, in this order; then intervals, then these last.
OPTIONAL = ("plan", "FID/null", "theory", "checker")
LAST = ("drift", "CLIP")
STYLES = {Status.REGRESSION: "red", Status.STALE: "red", Status.MISSING: "red", Status.UPDATED: "yellow"}


def render(records: Sequence[Record], width: int, colour: bool) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for ranking in rank(records):
        console.print(_ranked(ranking, console.width))
        console.print(_grouped(ranking))
    return stream.getvalue()


def _fitting(ranking: Ranking, width: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns that fit into ``width``, and the rows with or without their shorter cells."""
    # Hardly ever is there anything to say of collapsed images.
    shown = [name for name in HEAD if name != "coll." or any(row.collapsed for row in ranking.rows)]
    rows: list[tuple[str, ...]] = []
    for short, droppable in ((False, OPTIONAL), (True, LAST)):
        rows = [cells(row, short=short) for row in ranking.rows]
        widths = {name: max(len(name), *(len(row[i]) for row in rows)) for i, name in enumerate(HEAD)}
        for name in (None, *droppable):
            if name is not None:
                shown.remove(name)
            if sum(widths[n] + 1 for n in shown) <= width:
                return shown, rows
    return shown, rows


def _ranked(ranking: Ranking, width: int) -> Table:
    shown, rows = _fitting(ranking, width)
    table = _table(f"least harmful variant: {ranking.checkpoint} ({ranking.prompts} prompts)", shown)
    for row, texts in zip(ranking.rows, rows, strict=True):
        style = STYLES.get(row.gate, "")
        table.add_row(*(Text(texts[HEAD.index(name)]) for name in shown), style=style)
    return table


def _grouped(ranking: Ranking) -> Table:
    table = _table("by strategy (median over cases)", GROUP_HEAD)
    for group in ranking.groups:
        if group.depth != "each":
            table.add_row(*map(Text, group_cells(group)))
    return table


def _table(title: str, head: Sequence[str]) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in head:
        # As Text: rich would read "[sd]" as markup.
        table.add_column(Text(name), justify="left" if name in LEFT else "right", no_wrap=True)
    return table

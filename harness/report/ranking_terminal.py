"""The ranking on a terminal, by rich; as wide as the terminal, in colours where it has them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.ranking_table import HEAD, SPEED_HEAD, cells, group_cells, heads, left_out, title
from harness.results.ranking import Ranking, rank
from harness.results.records import Record, Status

LEFT = {"variant", "plan", "stack", "range", "strategy", "surgery", "gate"}
# What is left out where the terminal is narrow, in this order, extra metrics after the first; then intervals, then
# these last.
OPTIONAL = ("plan", "FID/null", "theory", "checker")
LAST = ("drift", "CLIP", "output drift")
STYLES = {Status.REGRESSION: "red", Status.STALE: "red", Status.MISSING: "red", Status.UPDATED: "yellow"}


def render(records: Sequence[Record], width: int, colour: bool) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns."""
    return draw(rank(records), width, colour)


def draw(rankings: Sequence[Ranking], width: int, colour: bool) -> str:
    """The tables of some rankings as text of at most ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for ranking in rankings:
        console.print(_ranked(ranking, console.width))
        if said := left_out(ranking):
            console.print(Text(said))
        console.print(_grouped(ranking))
    return stream.getvalue()


def _fitting(ranking: Ranking, width: int) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns that fit into ``width``, and the rows with or without their shorter cells."""
    head, _ = heads(ranking)
    # Hardly ever is there anything to say of collapsed images.
    shown = [name for name in head if name != "coll." or any(row.collapsed for row in ranking.rows)]
    rows: list[tuple[str, ...]] = []
    extra = [name for name in reversed(shown) if name not in (*HEAD, *SPEED_HEAD)]
    for short, droppable in ((False, (OPTIONAL[0], *extra, *OPTIONAL[1:])), (True, LAST)):
        rows = [cells(row, short=short, head=head) for row in ranking.rows]
        widths = {name: max(len(name), *(len(row[i]) for row in rows)) for i, name in enumerate(head)}
        for name in (None, *droppable):
            if name in shown:
                shown.remove(name)
            if sum(widths[n] + 1 for n in shown) <= width:
                return shown, [_picked(row, head, shown) for row in rows]
    return shown, [_picked(row, head, shown) for row in rows]


def _picked(row: tuple[str, ...], head: Sequence[str], shown: Sequence[str]) -> tuple[str, ...]:
    return tuple(row[head.index(name)] for name in shown)


def _ranked(ranking: Ranking, width: int) -> Table:
    shown, rows = _fitting(ranking, width)
    table = _table(title(ranking), shown)
    for row, texts in zip(ranking.rows, rows, strict=True):
        table.add_row(*map(Text, texts), style=STYLES.get(row.gate, ""))
    return table


def _grouped(ranking: Ranking) -> Table:
    _, head = heads(ranking)
    table = _table("by strategy (median over cases)", head)
    for group in ranking.groups:
        if group.depth != "each":
            table.add_row(*map(Text, group_cells(group, head)))
    return table


def _table(title: str, head: Sequence[str]) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for name in head:
        # As Text: rich would read "[sd]" as markup.
        table.add_column(Text(name), justify="left" if name in LEFT else "right", no_wrap=True)
    return table

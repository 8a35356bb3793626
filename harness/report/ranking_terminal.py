"""The ranking on a terminal, by rich; as wide as the terminal, in colours where it has them."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.ranking_table import cells, columns_of, errors, foot, strategy_cells, strategy_columns, title
from harness.report.red_section import red_lines
from harness.results.figure import SHORTENED, Column
from harness.results.ranking import Ranking, rank
from harness.results.records import Record, Status

_STYLES = {**{status: "red" for status in Status if status.red}, Status.UPDATED: "yellow"}


def render(records: Sequence[Record], width: int, colour: bool) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns, and below them what is red."""
    console, stream = _console(width, colour)
    for line in red_lines(records, console.width):
        console.print(Text(line, style="red"))
    return draw(rank(records), width, colour) + stream.getvalue()


def draw(rankings: Sequence[Ranking], width: int, colour: bool) -> str:
    """The tables of some rankings as text of at most ``width`` columns."""
    console, stream = _console(width, colour)
    for ranking in rankings:
        if ranking.rows:
            console.print(_ranked(ranking, console.width))
        else:
            console.print(Text(title(ranking), style="bold"))
        for line in foot(ranking):
            console.print(Text(line))
        for line in errors(ranking):
            console.print(Text(line, style="red"))
        if ranking.rows:
            console.print(_grouped(ranking))
    return stream.getvalue()


def _console(width: int, colour: bool) -> tuple[Console, io.StringIO]:
    """A console that writes text of at most ``width`` columns, and what it has written."""
    stream = io.StringIO()
    return (
        Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False),
        stream,
    )


def _fitting(ranking: Ranking, width: int) -> tuple[list[Column], list[tuple[str, ...]]]:
    """The columns that fit into ``width``, and the rows with or without their shorter cells.

    Whole columns go first, then the intervals of the others, then more columns.
    """
    columns = columns_of(ranking)
    # Hardly ever is there anything to say of collapsed images.
    shown = [c for c in columns if c.name != "collapsed" or any(row.collapsed for row in ranking.rows)]
    rows: list[tuple[str, ...]] = []
    for short in (False, True):
        rows = [cells(row, columns, short=short) for row in ranking.rows]
        widths = {c: max(len(c.heading), *(len(row[i]) for row in rows)) for i, c in enumerate(columns)}
        for column in (None, *_droppable(columns, short=short)):
            if column in shown:
                shown.remove(column)
            if sum(widths[c] + 1 for c in shown) <= width:
                return shown, [_picked(row, columns, shown) for row in rows]
    return shown, [_picked(row, columns, shown) for row in rows]


def _droppable(columns: Sequence[Column], *, short: bool) -> list[Column]:
    """What is left out one by one before (or after) the cells were shortened; of equals, the last column first."""
    order = [(c.dropped, c) for c in reversed(columns) if c.dropped is not None and (c.dropped >= SHORTENED) == short]
    return [column for _, column in sorted(order, key=lambda pair: pair[0])]


def _picked(row: tuple[str, ...], columns: Sequence[Column], shown: Sequence[Column]) -> tuple[str, ...]:
    return tuple(row[columns.index(column)] for column in shown)


def _ranked(ranking: Ranking, width: int) -> Table:
    shown, rows = _fitting(ranking, width)
    table = _table(title(ranking), shown)
    for row, texts in zip(ranking.rows, rows, strict=True):
        table.add_row(*map(Text, texts), style=_STYLES.get(row.gate, ""))
    return table


def _grouped(ranking: Ranking) -> Table:
    columns = strategy_columns(ranking)
    table = _table("by strategy (median over cases)", columns)
    for group in ranking.groups:
        if group.depth != "each":
            table.add_row(*map(Text, strategy_cells(group, columns)))
    return table


def _table(title: str, columns: Sequence[Column]) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in columns:
        # As Text: rich would read "[sd]" as markup.
        table.add_column(Text(column.heading), justify="left" if column.text else "right", no_wrap=True)
    return table

"""The ranking on a terminal, by rich; as wide as the terminal, in colours where it has them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.ranking_table import (
    cells,
    columns_of,
    errors,
    foot,
    headline_columns,
    parts,
    strategy_cells,
    strategy_columns,
    title,
    what_can_go_title,
)
from harness.results.figure import SHORTENED, Column, RankedBy
from harness.results.ranking import Ranking, rank
from harness.results.ranking_row import Row
from harness.results.records import Record, Status
from harness.results.removal import what_can_go

_STYLES = {**{status: "red" for status in Status if status.red}, Status.UPDATED: "yellow"}


def render(records: Sequence[Record], width: int, colour: bool) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns."""
    return draw(rank(records), width, colour)


def draw(rankings: Sequence[Ranking], width: int, colour: bool) -> str:
    """The tables of some rankings as text of at most ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for ranking in rankings:
        if ranking.rows:
            for table in _tables(ranking, console.width):
                console.print(table)
        else:
            console.print(Text(title(ranking), style="bold"))
        for line in foot(ranking):
            console.print(Text(line))
        for line in errors(ranking):
            console.print(Text(line, style="red"))
        if ranking.rows:
            console.print(_grouped(ranking))
    return stream.getvalue()


def _fitting(
    variants: Sequence[Row], columns: Sequence[Column], width: int
) -> tuple[list[Column], list[tuple[str, ...]]]:
    """The columns that fit into ``width``, and the rows with or without their shorter cells.

    Whole columns go first, then the intervals of the others, then more columns.
    """
    # Hardly ever is there anything to say of collapsed images.
    shown = [c for c in columns if c.name != "collapsed" or any(row.collapsed for row in variants)]
    rows: list[tuple[str, ...]] = []
    for short in (False, True):
        rows = [cells(row, columns, short=short) for row in variants]
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


def _tables(ranking: Ranking, width: int) -> Iterator[Table]:
    """What can go, then all variants: those that leave out blocks, and apart from them those that don't."""
    removed = what_can_go(ranking.rows) if ranking.by is RankedBy.HARM else ()
    if removed:
        shown, rows = _fitting(removed, headline_columns(ranking), width)
        yield _ranked(what_can_go_title(ranking), shown, removed, rows)
    shown, rows = _fitting(ranking.rows, columns_of(ranking), width)
    texts = {row.case: cells for row, cells in zip(ranking.rows, rows, strict=True)}
    for heading, variants in parts(ranking):
        yield _ranked(heading, shown, variants, [texts[row.case] for row in variants])


def _ranked(heading: str, shown: Sequence[Column], variants: Sequence[Row], rows: Sequence[Sequence[str]]) -> Table:
    table = _table(heading, shown)
    for row, texts in zip(variants, rows, strict=True):
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

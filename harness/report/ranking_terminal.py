"""The ranking on a terminal, by rich; as wide as the terminal, in colours where it has them."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.ablation.case import BY_HAND
from harness.report.ranking_table import (
    cells,
    columns_of,
    errors,
    foot,
    has_medians,
    headline_columns,
    parts,
    strategy_cells,
    strategy_columns,
    title,
    what_can_go_title,
)
from harness.report.red_section import red_lines
from harness.report.text import NOTHING
from harness.results.figure import SHORTENED, Column
from harness.results.ranking import Ranking, rank
from harness.results.ranking_row import Row
from harness.results.records import Record, Status

_EACH = "each"  # single blocks, which are left out of the summary by strategy
_PLAN = "plan"
_PLAN_WIDTH = 24  # characters that a plan by hand is given on a narrow terminal, where it runs over several lines
_STYLES = {**{status: "red" for status in Status if status.red}, Status.UPDATED: "yellow"}


def render(records: Sequence[Record], width: int, colour: bool, metrics: Collection[str] = ()) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns (:func:`draw`), and below them what is red."""
    console, stream = _console(width, colour)
    for line in red_lines(records, console.width):
        console.print(Text(line, style="red"))
    return draw(rank(records), width, colour, metrics) + stream.getvalue()


def draw(rankings: Sequence[Ranking], width: int, colour: bool, metrics: Collection[str] = ()) -> str:
    """The tables of some rankings as text of at most ``width`` columns.

    The columns of ``metrics`` are never left out, nor are the plans of variants that are nothing but their plan; where
    these alone don't fit, a table is wider. A line below each table names the columns that it leaves out.
    """
    console, stream = _console(width, colour)
    width = console.width
    for ranking in rankings:
        if ranking.rows:
            _print_variants(console, ranking, width, metrics)
        else:
            console.print(Text(title(ranking), style="bold"))
        for line in foot(ranking):
            console.print(Text(line))
        for line in errors(ranking):
            console.print(Text(line, style="red"))
        if has_medians([group for group in ranking.groups if group.depth != _EACH]):
            console.print(_grouped(ranking))
    return stream.getvalue()


def _console(width: int, colour: bool) -> tuple[Console, io.StringIO]:
    """A console that writes text of at most ``width`` columns, and what it has written."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    return console, stream


def _print_variants(console: Console, ranking: Ranking, width: int, metrics: Collection[str]) -> None:
    """What can go, then all variants: those that leave out blocks, and apart from them those that don't."""
    if ranking.removals:
        short = _fitted(ranking, ranking.removals, headline_columns(ranking), width, metrics)
        _print(console, _ranked(what_can_go_title(ranking), short.columns, ranking.removals, short.rows), short.width)
    fitted = _fitted(ranking, ranking.rows, columns_of(ranking), width, metrics)
    texts = {row.case: cells for row, cells in zip(ranking.rows, fitted.rows, strict=True)}
    for heading, variants in parts(ranking):
        table = _ranked(heading, fitted.columns, variants, [texts[row.case] for row in variants])
        _print(console, table, fitted.width)
    if fitted.left_out:
        names = ", ".join(column.heading for column in fitted.left_out)
        console.print(Text(f"not shown at {width} columns: {names} (see ranking.md)"))


def _print(console: Console, table: Table, needed: int) -> None:
    """Print a table that needs so many columns, more than the console has if need be: rich cuts what is wider."""
    width = console.width
    console.width = max(width, needed)
    console.print(table)
    console.width = width


class _Fitted(NamedTuple):
    """The columns of a table and its rows, those that did not fit, and how wide it is."""

    columns: Sequence[Column]
    rows: Sequence[tuple[str, ...]]
    left_out: Sequence[Column]
    width: int


def _fitted(
    ranking: Ranking, variants: Sequence[Row], columns: Sequence[Column], width: int, metrics: Collection[str]
) -> _Fitted:
    """The columns that fit into ``width``, and the rows of variants with or without their shorter cells.

    Whole columns go first, then the intervals of the others, then more columns.
    """
    # Hardly ever is there anything to say of collapsed images.
    wanted = [c for c in columns if c.name != "collapsed" or any(row.collapsed for row in variants)]
    kept = {c for c in wanted if _is_kept(c, ranking, metrics)}
    shown = list(wanted)
    rows: list[tuple[str, ...]] = []
    needed = 0
    for short in (False, True):
        rows = [cells(row, columns, short=short) for row in variants]
        widths = {c: max(len(c.heading), *(len(row[i]) for row in rows)) for i, c in enumerate(columns)}
        widths = {c: min(n, _PLAN_WIDTH) if c in kept and c.name == _PLAN else n for c, n in widths.items()}
        for column in (None, *_droppable(columns, short=short)):
            if column in shown and column not in kept:
                shown.remove(column)
            needed = sum(widths[c] + 1 for c in shown)
            if needed <= width:
                break
        if needed <= width:
            break
    filled = {column for i, column in enumerate(columns) if any(row[i] != NOTHING for row in rows)}
    left_out = [column for column in wanted if column in filled and column not in shown]
    return _Fitted(shown, [_picked(row, columns, shown) for row in rows], left_out, needed)


def _is_kept(column: Column, ranking: Ranking, metrics: Collection[str]) -> bool:
    """Whether a column stays on every terminal: it was asked for by name, or alone says what a variant is."""
    if column.name == _PLAN:
        return any(BY_HAND in row.words for row in ranking.rows)
    return column.name.rpartition(".")[0] in metrics


def _droppable(columns: Sequence[Column], *, short: bool) -> list[Column]:
    """What is left out one by one before (or after) the cells were shortened; of equals, the last column first."""
    order = [(c.dropped, c) for c in reversed(columns) if c.dropped is not None and (c.dropped >= SHORTENED) == short]
    return [column for _, column in sorted(order, key=lambda pair: pair[0])]


def _picked(row: tuple[str, ...], columns: Sequence[Column], shown: Sequence[Column]) -> tuple[str, ...]:
    return tuple(row[columns.index(column)] for column in shown)


def _ranked(heading: str, shown: Sequence[Column], variants: Sequence[Row], rows: Sequence[Sequence[str]]) -> Table:
    table = _table(heading, shown)
    for row, texts in zip(variants, rows, strict=True):
        table.add_row(*map(Text, texts), style=_STYLES.get(row.gate, ""))
    return table


def _grouped(ranking: Ranking) -> Table:
    columns = strategy_columns(ranking)
    table = _table("by strategy (median over cases)", columns)
    for group in ranking.groups:
        if group.depth != _EACH:
            table.add_row(*map(Text, strategy_cells(group, columns)))
    return table


def _table(title: str, columns: Sequence[Column]) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in columns:
        # As Text: rich would read "[sd]" as markup.
        table.add_column(Text(column.heading), justify="left" if column.text else "right", no_wrap=column.name != _PLAN)
    return table

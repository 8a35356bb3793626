"""The ranking on a terminal, by rich; as wide as the terminal, in colours where it has them."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report.ranking_table import (
    PLAN,
    by_hand,
    cells,
    columns_of,
    errors,
    explanations,
    filled_columns,
    foot,
    headline_columns,
    parts,
    strategy_cells,
    strategy_columns,
    title,
    what_can_go_title,
)
from harness.report.red_section import red_lines
from harness.report.text import NOTHING
from harness.results.chosen_columns import is_chosen, shown
from harness.results.figure import SHORTENED, TIER, Column, RankedBy
from harness.results.ranking import Ranking, rank
from harness.results.ranking_row import Row
from harness.results.records import Record, Status
from harness.results.strategy_summary import StrategySummary

COLUMNS_OPTION = "--dit-columns"  # of pytest, which asks for more columns
_EACH = "each"  # single blocks, which are left out of the summary by strategy
_COLLAPSED, _PROMPTS, _RANK, _VARIANT = "collapsed", "prompts_measured", "rank", "variant"
_FOLDED = (PLAN, _VARIANT)  # columns whose texts may run over several lines
_PLAN_WIDTH = 24  # characters that a plan by hand is given on a narrow terminal, where it runs over several lines
_LEAST = 12  # characters of a variant's name in a line, below which a table gets wider than the terminal
_NARROWEST = 40  # columns of a terminal
_STYLES = {**{status: "red" for status in Status if status.red}, Status.UPDATED: "yellow"}


def render(
    records: Sequence[Record], width: int, colour: bool, asked: Collection[str] = (), option: str = COLUMNS_OPTION
) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns (:func:`draw`), and below them what is red."""
    console, stream = _console(width, colour)
    for line in red_lines(records, console.width):
        console.print(Text(line, style="red"))
    return draw(rank(records), width, colour, asked, option) + stream.getvalue()


def draw(
    rankings: Sequence[Ranking], width: int, colour: bool, asked: Collection[str] = (), option: str = COLUMNS_OPTION
) -> str:
    """The tables of some rankings as text of at most ``width`` columns.

    ``asked`` are the names of further columns, of extra metrics, or ``all``. What is asked for by its own name is never
    left out, nor are the plans of variants that are nothing but their plan; where these don't fit, a table is wider. A
    line below each table names the columns that it leaves out, and those above it say what ``*`` and tiers are.
    ``option`` is how a reader asks for more of them: an option of pytest, or one of a command.
    """
    console, stream = _console(width, colour)
    for ranking in rankings:
        if ranking.rows:
            _print_variants(console, ranking, asked, option)
        else:
            console.print(Text(title(ranking), style="bold"))
        for line in foot(ranking):
            console.print(Text(line))
        for line in errors(ranking):
            console.print(Text(line, style="red"))
        if several := [group for group in ranking.groups if group.depth != _EACH and group.cases > 1]:
            table = _grouped(ranking, several)
            _print(console, "by strategy (median over cases)", table, console.measure(table).maximum)
    return stream.getvalue()


def _console(width: int, colour: bool) -> tuple[Console, io.StringIO]:
    """A console that writes text of at most ``width`` columns, and what it has written."""
    stream = io.StringIO()
    width = max(_NARROWEST, width)
    console = Console(file=stream, width=width, force_terminal=colour, no_color=not colour, highlight=False)
    return console, stream


def _print_variants(console: Console, ranking: Ranking, asked: Collection[str], option: str) -> None:
    """What can go, then all variants: those that leave out blocks, and apart from them those that don't."""
    if ranking.removals:
        short = _fitted(ranking, ranking.removals, headline_columns(ranking), console.width, asked)
        _print(console, what_can_go_title(ranking), _ranked(short, ranking.removals, short.rows), short.width)
    every = _worth_naming(ranking, asked)
    chosen = _chosen(ranking, every, asked)
    fitted = _fitted(ranking, ranking.rows, chosen, console.width, asked)
    texts = {row.case: cells for row, cells in zip(ranking.rows, fitted.rows, strict=True)}
    for heading, variants in parts(ranking):
        _print(console, heading, _ranked(fitted, variants, [texts[row.case] for row in variants]), fitted.width)
    for line in explanations(ranking, fitted.columns):
        console.print(Text(line))
    if fitted.left_out:
        console.print(Text(f"not shown at {console.width} columns: {_names(fitted.left_out)} (see ranking.md)"))
    more = [column for column in filled_columns(ranking, every) if column not in chosen]
    if more:
        console.print(Text(f"more columns, by {option} or in ranking.md: {_names(more)}"))


def _chosen(ranking: Ranking, every: Sequence[Column], asked: Collection[str]) -> tuple[Column, ...]:
    """What the table has where it fits; a ranking by speed-up has few columns, and has them all."""
    if ranking.by is RankedBy.SPEED:
        return tuple(every)
    always = [PLAN] if by_hand(ranking.rows) else []
    if ranking.fewest is not None:
        always.append(_PROMPTS)  # an adaptive run measures each variant on as many as it needs
    if any(row.collapsed for row in ranking.rows):
        always.append(_COLLAPSED)  # a figure of such a variant is one of black images
    return shown(every, asked, always=always)


def _worth_naming(ranking: Ranking, asked: Collection[str]) -> tuple[Column, ...]:
    """All columns, but the one of collapsed images where there are none: hardly ever is there anything to say."""
    collapsed = any(row.collapsed for row in ranking.rows)
    return tuple(c for c in columns_of(ranking) if c.name != _COLLAPSED or collapsed or is_chosen(c, asked))


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(column.heading for column in columns)


def _print(console: Console, heading: str, table: Table, needed: int) -> None:
    """Print a table that needs so many columns, more than the console has if need be: rich cuts what is wider."""
    console.print(Text(heading, style="bold"))  # no title of the table, which would run over as many lines as it needs
    width = console.width
    console.width = max(width, needed)
    console.print(table)
    console.width = width


class _Fitted(NamedTuple):
    """The columns of a table with their headings, and its rows, those that did not fit, and how wide it is."""

    columns: Sequence[Column]
    headings: Sequence[str]
    rows: Sequence[tuple[str, ...]]
    left_out: Sequence[Column]
    width: int


def _fitted(
    ranking: Ranking, variants: Sequence[Row], columns: Sequence[Column], width: int, asked: Collection[str]
) -> _Fitted:
    """The columns that fit into ``width``, and the rows of variants with or without their shorter cells.

    Whole columns go first, then the intervals of the ranks and those of the others, then more columns; then headings
    run over two lines, and the variants' names over several.
    """
    kept = {c for c in columns if is_chosen(c, asked) or (c.name == PLAN and by_hand(ranking.rows))}
    columns_left = list(columns)
    headings: dict[Column, str] = {}
    rows: list[tuple[str, ...]] = []
    widths: dict[Column, int] = {}

    def excess() -> int:
        return sum(widths[c] + 1 for c in columns_left) - width

    for without_rank, short, stacked in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)):
        rows = [_texts(row, columns, without_rank=bool(without_rank), short=bool(short)) for row in variants]
        headings = {c: c.heading.replace(" [", "\n[") if stacked else c.heading for c in columns}
        widths = {
            c: max(*map(len, headings[c].split("\n")), *(len(row[i]) for row in rows)) for i, c in enumerate(columns)
        }
        widths = {c: min(n, _PLAN_WIDTH) if c in kept and c.name == PLAN else n for c, n in widths.items()}
        for column in (None, *_droppable(columns, short=bool(short), tier=bool(stacked))):
            if excess() <= 0:
                break
            if column in columns_left and column not in kept:
                columns_left.remove(column)
        if excess() <= 0:
            break
    filled = {column for i, column in enumerate(columns) if any(row[i] != NOTHING for row in rows)}
    left_out = [column for column in columns if column in filled and column not in columns_left]
    texts = [_picked(row, columns, columns_left) for row in rows]
    name = next((i for i, column in enumerate(columns_left) if column.name == _VARIANT), None)
    if excess() > 0 and name is not None:
        longest = widths[columns_left[name]]
        room = max(min(longest, _LEAST), longest - excess())
        texts = [(*row[:name], "\n".join(textwrap.wrap(row[name], room)), *row[name + 1 :]) for row in texts]
        widths[columns_left[name]] = room
    return _Fitted(columns_left, [headings[c] for c in columns_left], texts, left_out, width + excess())


def _texts(row: Row, columns: Sequence[Column], *, without_rank: bool, short: bool) -> tuple[str, ...]:
    """A variant's cells without the rank's interval, or (``short``) without any."""
    full, shortened = (cells(row, columns, short=each) for each in (False, True))
    small = {c for c in columns if short or (without_rank and c.name == _RANK)}
    return tuple(shortened[i] if column in small else full[i] for i, column in enumerate(columns))


def _droppable(columns: Sequence[Column], *, short: bool, tier: bool) -> list[Column]:
    """What is left out one by one before (or after) the cells were shortened; of equals, the last column first."""
    order = [(c.dropped, c) for c in reversed(columns) if c.dropped is not None]
    in_turn = [(n, c) for n, c in order if (n >= SHORTENED) == short and (n >= TIER) == tier]
    return [column for _, column in sorted(in_turn, key=lambda pair: pair[0])]


def _picked(row: tuple[str, ...], columns: Sequence[Column], picked: Sequence[Column]) -> tuple[str, ...]:
    return tuple(row[columns.index(column)] for column in picked)


def _ranked(fitted: _Fitted, variants: Sequence[Row], rows: Sequence[Sequence[str]]) -> Table:
    table = _table(fitted.columns, fitted.headings)
    for row, texts in zip(variants, rows, strict=True):
        table.add_row(*map(Text, texts), style=_STYLES.get(row.gate, ""))
    return table


def _grouped(ranking: Ranking, groups: Sequence[StrategySummary]) -> Table:
    """The medians over several cases of a strategy; one over a single case would say its row again."""
    columns = strategy_columns(ranking)
    table = _table(columns, [column.heading for column in columns])
    for group in groups:
        table.add_row(*map(Text, strategy_cells(group, columns)))
    return table


def _table(columns: Sequence[Column], headings: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column, heading in zip(columns, headings, strict=True):
        # As Text: rich would read "[sd]" as markup.
        table.add_column(Text(heading), justify="left" if column.text else "right", no_wrap=column.name not in _FOLDED)
    return table

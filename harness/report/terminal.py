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
# What is left out first where the terminal is narrow; the rest never is.
OPTIONAL = ("plan", "FID", "theory", "checker", "drift", "CLIP")
STYLES = {Status.REGRESSION: "red", Status.STALE: "red", Status.MISSING: "red", Status.UPDATED: "yellow"}


def render(records: Sequence[Record], width: int, colour: bool) -> str:
    """The tables of all checkpoints as text of at most ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for ranking in rank(records):
        console.print(_ranked(ranking, console.width))
        console.print(_grouped(ranking))
    return stream.getvalue()


def _ranked(ranking: Ranking, width: int) -> Table:
    rows = [cells(row) for row in ranking.rows]
    widths = {name: max(len(name), *(len(row[i]) for row in rows)) for i, name in enumerate(HEAD)}
    shown = list(HEAD)
    for name in OPTIONAL:
        if sum(widths[n] + 2 for n in shown) <= width:
            break
        shown.remove(name)
    table = Table(
        title=f"least harmful variant: {ranking.checkpoint} ({ranking.prompts} prompts)",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
    )
    for name in shown:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    tier = 0
    for row, texts in zip(ranking.rows, rows, strict=True):
        if tier and row.tier != tier:
            table.add_section()
        tier = row.tier
        style = STYLES.get(row.gate, "")
        table.add_row(*(Text(texts[HEAD.index(name)]) for name in shown), style=style)
    return table


def _grouped(ranking: Ranking) -> Table:
    table = Table(
        title="by strategy (median over cases)", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for name in GROUP_HEAD:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    for group in ranking.groups:
        if group.depth != "each":
            table.add_row(*map(Text, group_cells(group)))
    return table

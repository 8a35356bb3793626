"""Several runs side by side, from their records alone: a row a case, a column a figure of each run."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import printable
from harness.files import write_each
from harness.markdown import markdown_table, markdown_text
from harness.report.html.shell import render as render_page
from harness.report.ranking_data import finite, frame
from harness.report.ranking_table import variant_name
from harness.report.text import NOTHING, counted, number, spreadsheet_text
from harness.results.fingerprint import circumstances
from harness.results.ranking import Ranking, rank
from harness.results.ranking_row import Row
from harness.results.records import Record

NAME = "side-by-side"
_FIGURES = ("harm", "latent_drift", "speed_up")
_HEADINGS = {"harm": "harm [sd]", "latent_drift": "drift", "speed_up": "speed-up"}
_FORMS = {"harm": ".2f", "latent_drift": ".2f", "speed_up": ".2f"}


@dataclass(frozen=True)
class NamedRun:
    """A run with what it is called: the name of its folder, or its path where two have one name."""

    name: str
    records: tuple[Record, ...]


@dataclass(frozen=True)
class SideBySide:
    """One checkpoint in several runs. ``rows`` have the row of each run's ranking by case, None where it has none.

    ``runs`` are the names of all runs, ``differs`` says of each but the first how it differs from the first.
    """

    checkpoint: str
    runs: tuple[str, ...]
    differs: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Row | None, ...]], ...]


def side_by_side(runs: Sequence[NamedRun]) -> list[SideBySide]:
    """The checkpoints of the runs in their order; the cases in that of the first run that ranks them.

    Where a run measured a checkpoint in several ways, its first ranking is taken.
    """
    rankings: list[dict[str, Ranking]] = []
    for run in runs:
        mine: dict[str, Ranking] = {}
        for ranking in rank(run.records):
            mine.setdefault(ranking.checkpoint, ranking)
        rankings.append(mine)
    checkpoints = dict.fromkeys(name for mine in rankings for name in mine)
    return [_one(name, runs, [mine.get(name) for mine in rankings]) for name in checkpoints]


def _one(checkpoint: str, runs: Sequence[NamedRun], rankings: Sequence[Ranking | None]) -> SideBySide:
    rows = [{} if each is None else {row.case: row for row in each.rows} for each in rankings]
    cases = dict.fromkeys(case for mine in rows for case in mine)
    return SideBySide(
        checkpoint,
        tuple(run.name for run in runs),
        tuple(_differs(rankings[0], each) for each in rankings[1:]),
        tuple((case, tuple(mine.get(case) for mine in rows)) for case in cases),
    )


def _differs(first: Ranking | None, other: Ranking | None) -> str:
    if first is None or other is None or first.fingerprint is None or other.fingerprint is None:
        return "not in both runs"
    return "; ".join(circumstances(first.fingerprint, other.fingerprint)) or "nothing that is recorded"


def _letter(number: int) -> str:
    """A, B ... Z, AA: what columns call a run, whose name is longer."""
    first = "" if number < 26 else _letter(number // 26 - 1)
    return first + chr(ord("A") + number % 26)


def head(table: SideBySide) -> tuple[str, ...]:
    """The headings of :func:`cells`: ``variant``, ``harm [sd] A``, ``harm [sd] B`` ... ``gate A``."""
    letters = [_letter(i) for i in range(len(table.runs))]
    return ("variant", *(f"{what} {letter}" for what in (*_HEADINGS.values(), "gate") for letter in letters))


def cells(rows: Sequence[Row | None]) -> tuple[str, ...]:
    """One line of the table; a dash where a run has no such case, or did not measure the figure."""
    name = next(variant_name(row) for row in rows if row is not None)
    figures = (
        NOTHING if row is None else number(row.value(figure), _FORMS[figure]) for figure in _FIGURES for row in rows
    )
    return (name, *figures, *(NOTHING if row is None else row.gate.value for row in rows))


def legend(table: SideBySide) -> list[str]:
    """A line for each run: its letter, its name, and how it differs from the first."""
    lines = [f"A: {printable(table.runs[0])}"]
    for i, (name, differs) in enumerate(zip(table.runs[1:], table.differs, strict=True), start=1):
        lines.append(f"{_letter(i)}: {printable(name)} (against A: {printable(differs)})")
    return lines


def title(table: SideBySide) -> str:
    """``flux-tiny: 57 variants in 3 runs``."""
    return f"{printable(table.checkpoint)}: {counted(len(table.rows), 'variant')} in {counted(len(table.runs), 'run')}"


def render(tables: Sequence[SideBySide], width: int, colour: bool) -> str:
    """The tables for a terminal of ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for table in tables:
        console.print(Text(title(table), style="bold"))
        for line in legend(table):
            console.print(Text(f"  {line}"))
        lines = [head(table), *(cells(rows) for _, rows in table.rows)]
        columns, left_out = _fitting(lines, len(table.runs), console.width)
        drawn = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for i in columns:
            drawn.add_column(
                Text(lines[0][i]), justify="right" if i else "left", no_wrap=i == 0, min_width=_width(lines, i)
            )
        for (_, rows), shown in zip(table.rows, lines[1:], strict=True):
            red = rows[-1] is not None and rows[-1].gate.red
            drawn.add_row(*(Text(shown[i]) for i in columns), style="red" if red else "")
        console.print(drawn)
        if left_out:
            console.print(Text(f"not shown at {console.width} columns: {', '.join(left_out)} (see {NAME}.md)"))
    return stream.getvalue()


def _fitting(lines: Sequence[Sequence[str]], runs: int, width: int) -> tuple[list[int], list[str]]:
    """The columns that fit, and what was left out for that: drift first, then gates; never the variant and the harm.

    A figure that no run measured has no columns anywhere.
    """
    groups = {"harm": 1, "drift": 1 + runs, "speed-up": 1 + 2 * runs, "gate": 1 + 3 * runs}  # where each begins
    measured = {
        name: list(range(start, start + runs))
        for name, start in groups.items()
        if any(line[i] != NOTHING for line in lines[1:] for i in range(start, start + runs))
    }
    left_out: list[str] = []

    def columns() -> list[int]:
        return [0, *(i for name, mine in measured.items() if name not in left_out for i in mine)]

    for name in ("drift", "gate", "speed-up"):
        if name in measured and sum(_width(lines, i) + 1 for i in columns()) > width:
            left_out = [*left_out, name]
    return columns(), left_out


def _width(lines: Sequence[Sequence[str]], column: int) -> int:
    """Of the longest cell, or of the longest word of the heading, which may be folded."""
    return max(*(len(line[column]) for line in lines[1:]), *map(len, lines[0][column].split()))


def markdown(tables: Sequence[SideBySide]) -> str:
    """The same as Markdown."""
    out = ["# Runs side by side", ""]
    for table in tables:
        out += [f"## {markdown_text(title(table))}", "", *(f"- {markdown_text(line)}" for line in legend(table)), ""]
        out += [*markdown_table(head(table), (cells(rows) for _, rows in table.rows)), ""]
    return "\n".join(out)


def to_json(tables: Sequence[SideBySide]) -> dict[str, object]:
    """The same as plain data: each case with its figures and their intervals in each run, null where it has none."""
    return {
        "schema": 1,
        "checkpoints": [
            {
                "checkpoint": table.checkpoint,
                "runs": list(table.runs),
                "differs_from_first": list(table.differs),
                "rows": [{"case": case, "runs": [_plain(row) for row in rows]} for case, rows in table.rows],
            }
            for table in tables
        ],
    }


def _plain(row: Row | None) -> dict[str, object] | None:
    if row is None:
        return None
    latency = row.latency
    return {
        "rank": row.rank,
        "harm": row.harm,
        "harm_low": row.harm_low,
        "harm_high": row.harm_high,
        "latent_drift": row.value("latent_drift"),
        "speed_up": None if latency is None else latency.ratio,
        "speed_up_low": None if latency is None else latency.low,
        "speed_up_high": None if latency is None else latency.high,
        "gate": row.gate.value,
    }


def page(tables: Sequence[SideBySide]) -> str:
    """The same as an HTML page, which fetches nothing."""
    shown = [
        {"title": title(t), "legend": legend(t), "head": head(t), "rows": [cells(rows) for _, rows in t.rows]}
        for t in tables
    ]
    return render_page("side-by-side.html.j2", title="Runs side by side", tables=shown)


def write(folder: Path, runs: Sequence[NamedRun], problem: Callable[[str], None]) -> list[Path]:
    """Write ``side-by-side.{md,csv,json,html}``; the paths. ``problem`` is called with a line for each that fails.

    The CSV has a row for each case of each run, with all figures of ``ranking.csv`` and the run before them.
    """
    import pandas as pd  # here: as in ranking_data, most readers want no frame

    tables = side_by_side(runs)
    frames = [frame(rank(run.records)).assign(run=run.name) for run in runs]
    long = pd.concat([each[["run", *each.columns.drop("run")]] for each in frames if len(each)] or [pd.DataFrame()])
    contents = {
        "md": markdown(tables),
        "csv": long.map(spreadsheet_text).to_csv(index=False, float_format="%.6g"),
        "json": json.dumps(finite(to_json(tables)), indent=1, allow_nan=False) + "\n",
        "html": page(tables),
    }
    return write_each({folder / f"{NAME}.{ending}": content for ending, content in contents.items()}, problem)

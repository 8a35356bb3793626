"""A comparison of two runs as text: Markdown for a pull request, a table for a terminal."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.errors import printable
from harness.gates.comparison import Change, Comparison, Movement
from harness.markdown import markdown_table, markdown_text
from harness.report.text import NOTHING, number
from harness.results.columns import is_paired

_HEAD = ("case", "figure", "A", "B", "B - A", "tolerance", "p", "")
_QUIET = (Movement.SAME, Movement.WITHIN)
_STYLES = {
    Movement.FAILED: "red",
    Movement.GONE: "red",
    Movement.WORSE: "red",
    Movement.BETTER: "yellow",
    Movement.CHANGED: "yellow",
}
_LEGEND = (
    "Harm is in units of A's seed-to-seed standard deviation, the score is cosine x 100; B - A comes with its 95 % "
    "interval over prompts. Worse and better: the difference is beyond the tolerance of tolerances.toml, and "
    "significant over prompts (false discovery rate 5 % over all harms and scores). Changed: it is beyond the "
    "tolerance, but not significant, or the figure is not compared prompt by prompt. Failed in B: the test raised or "
    "its gate is red there, and not in A; only in A: B lacks the case. Both are regressions, as worse is. Speed-ups "
    "are compared as logarithms and never fail: speed-ups of different runs are not comparable, as the load of the "
    "machine differs."
)


def _cells(change: Change) -> tuple[str, ...]:
    """One line of the table, as HEAD."""
    gap = change.difference
    interval = f" [{gap.low:+.3g}, {gap.high:+.3g}]" if math.isfinite(gap.low) and math.isfinite(gap.high) else ""
    return (
        change.what,
        change.metric,
        number(change.a, ".4g"),
        number(change.b, ".4g"),
        number(gap.value, "+.3g") + interval,
        number(change.limit, ".2g"),
        number(change.p, ".2g") if is_paired(change.metric) else NOTHING,
        f"{change.moved.value}: {change.why}" if change.why else change.moved.value,
    )


def _summary(comparison: Comparison) -> str:
    """``57 figures: 2 worse, 1 changed, 54 within``."""
    counts = Counter(change.moved for change in comparison.changes)
    parts = [f"{counts[moved]} {moved.value}" for moved in Movement if counts[moved]]
    return f"{len(comparison.changes)} figures: {', '.join(parts) or 'none'}"


def _shown(comparison: Comparison, *, everything: bool) -> Sequence[Change]:
    """What moved, or everything."""
    return [c for c in comparison.changes if everything or c.moved not in _QUIET]


def markdown(comparisons: Sequence[Comparison], *, everything: bool = False) -> str:
    """A title, what else differs, and the table of what moved."""
    out = ["# What moved between two runs", ""]
    for comparison in comparisons:
        out += [f"## {markdown_text(_title(comparison))}", "", f"{_summary(comparison)}.", ""]
        out += [
            "Differs between the runs: "
            + (markdown_text("; ".join(comparison.circumstances)) or "nothing that is recorded"),
            "",
        ]
        rows = _shown(comparison, everything=everything)
        if rows:
            out += [*markdown_table(_HEAD, map(_cells, rows)), ""]
    return "\n".join([*out, _LEGEND, ""])


def render(comparisons: Sequence[Comparison], width: int, colour: bool, *, everything: bool = False) -> str:
    """The same for a terminal of ``width`` columns."""
    stream = io.StringIO()
    console = Console(file=stream, width=max(80, width), force_terminal=colour, no_color=not colour, highlight=False)
    for comparison in comparisons:
        console.print(Text(printable(f"{_title(comparison)}: {_summary(comparison)}"), style="bold"))
        for line in comparison.circumstances:
            console.print(Text(f"  {printable(line)}"))
        rows = _shown(comparison, everything=everything)
        if rows:
            table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
            for i, name in enumerate(_HEAD):
                table.add_column(name, justify="right" if 2 <= i <= 6 else "left", overflow="fold")
            for change in rows:
                table.add_row(*(Text(printable(cell)) for cell in _cells(change)), style=_STYLES.get(change.moved, ""))
            console.print(table)
    return stream.getvalue()


def _title(comparison: Comparison) -> str:
    return comparison.a if comparison.a == comparison.b else f"{comparison.a} -> {comparison.b}"

"""The declared columns and figures as Markdown tables, for README.md and docs/measurement.md.

``python -m harness.report.columns_page headline`` prints what belongs between the marks of README.md, ``columns`` and
``figures`` what belongs between those of docs/measurement.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.markdown import markdown_table
from harness.report.text import NOTHING
from harness.results import columns, figure_table
from harness.results.figure import Better, Column, Figure
from harness.results.figure_table_extra import EXTRA, GRADE_LOSS


def headline_markdown() -> str:
    """The columns of the short table of what can go: what each means in a few words, and which side of it is good."""
    rows = [(_heading(c), c.brief, _GOOD.get(_better(c, shown=True), NOTHING)) for c in columns.headline()]
    return "\n".join(markdown_table(("column", "meaning", "good is"), rows))


def columns_markdown() -> str:
    """The columns of the ranked table, what each shows, which side of it is better, and which rankings have it."""
    rows = [
        (_heading(column), _shows(column), _better(column, shown=True), ", ".join(sorted(column.tables)))
        for column in (*figure_table.COLUMNS, *EXTRA, GRADE_LOSS)
        if column.tables
    ]
    return "\n".join(markdown_table(("column", "shows", "better", "in a ranking by"), rows))


def figures_markdown() -> str:
    """All figures by their names in files: what each is, where it is kept, and what is judged by it.

    Of the checker's grades only the mean is listed.
    """
    rows = [
        (f"`{declared.name}`", _heading(declared) or NOTHING, _shows(declared), _better(declared), _kept(declared))
        for declared in columns.figures()
        if declared not in figure_table.GRADES
    ]
    return "\n".join(markdown_table(("figure", "column", "is", "better", "kept and judged"), rows))


_GOOD = {Better.LOWER.value: "low", Better.HIGHER.value: "high"}


def _heading(column: Column) -> str:
    return column.heading.replace("{}", "METRIC", 1).replace("{}", "GRADE")


def _shows(column: Column) -> str:
    return column.legend.replace("{}", "METRIC")


def _better(column: Column, *, shown: bool = False) -> str:
    """The better side of a figure, or of what its column shows of it, which may be its negative."""
    if not isinstance(column, Figure) or column.better is None:
        return NOTHING
    lower = (column.better is Better.LOWER) != (shown and column.negated)
    return (Better.LOWER if lower else Better.HIGHER).value


def _kept(declared: Figure) -> str:
    """Which files hold a figure, and whose gate it is."""
    places = {
        "ranking files": declared.files,
        "baseline": declared.stored,
        "gate of a case": declared.gated,
        "gate of the control": declared.control_gated,
        "gate of a timing": declared.latency_gated,
    }
    return ", ".join(place for place, held in places.items() if held) or NOTHING


def main(arguments: Sequence[str]) -> int:
    """Print one of the tables."""
    tables = {"headline": headline_markdown, "columns": columns_markdown, "figures": figures_markdown}
    sys.stdout.write(tables[arguments[0]]() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Numbers and Markdown tables as text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

NOTHING = "-"


def number(value: float | None, form: str) -> str:
    """A figure, or a dash."""
    return NOTHING if value is None or not math.isfinite(value) else format(value, form)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    # A bar inside a plan would end its cell.
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]

"""Markdown tables, and texts of anybody's inside Markdown: pandas writes tables too, and lets a bar end a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.errors import printable


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table in Markdown."""
    lines = ["| " + " | ".join(map(markdown_text, head)) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(markdown_text, row)) + " |" for row in rows]


def markdown_text(text: str) -> str:
    """A text of anybody's as one line of Markdown: a bar inside a plan would end its cell, a tag would be a tag."""
    return printable(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def code_text(text: str) -> str:
    """A text of anybody's to stand between backquotes in one line of Markdown."""
    return printable(text).replace("`", "'")

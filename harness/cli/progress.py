"""How far a command is, by rich, where its error stream is a terminal; nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(what: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """A bar of so many ``what``, with the time that is left; yields what is to be called with (done, of)."""
    console = console or Console(stderr=True)
    columns = (MofNCompleteColumn(), TextColumn(what, markup=False), BarColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, TextColumn("left"), console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)

        def say(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        yield say


@contextmanager
def status(console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """A line that says what is being done; yields what is to be called with it. It is gone at the end."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as shown:
        yield lambda text: shown.update(escape(text))

"""Bars and lines of commands are for terminals."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.cli.progress import bar, status


def console(*, terminal):
    file = io.StringIO()
    return file, Console(file=file, force_terminal=terminal, width=80)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_says_how_many_are_done(terminal):
    file, shown = console(terminal=terminal)
    with bar("sets", shown) as say:
        for done in range(1, 4):
            say(done, 3)
    assert ("3/3 sets" in file.getvalue()) is terminal
    assert bool(file.getvalue()) is terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_a_line_says_what_is_done(terminal):
    file, shown = console(terminal=terminal)
    with status(shown) as say:
        say("fault [no-op] on m-s-skip")
        if terminal:
            shown._live_stack[-1].refresh()
    assert ("fault [no-op] on m-s-skip" in file.getvalue()) is terminal
    assert bool(file.getvalue()) is terminal

"""Bars and lines of commands are for terminals."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.cli import common
from harness.cli.progress import bar, status
from tests.helpers.screen import Screen


def console(*, terminal):
    file = io.StringIO()
    return file, Console(file=file, force_terminal=terminal, width=80)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_says_how_many_are_done(terminal):
    file, shown = console(terminal=terminal)
    with bar("sets", shown) as say:
        for done in range(1, 4):
            say(done, 3)
    assert ("3/3 sets" in Screen().feed(file.getvalue()).text) is terminal
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


@pytest.mark.parametrize(
    ("variable", "terminal", "answer"),
    [("", True, True), ("", False, False), ("NO_COLOR", True, False), ("FORCE_COLOR", False, True)],
)
def test_colours_are_for_terminals_and_for_who_wants_them(variable, terminal, answer, monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "1")
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: terminal, fileno=lambda: 1, encoding="utf-8"))
    monkeypatch.setenv("TERM", "xterm")
    assert common.colour() is answer

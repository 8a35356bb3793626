"""A bar by rich below what pytest prints, while tests run on a terminal: how many are done, how long the rest takes.

Where the output is a file, a pipe or a CI's log there is none, but a line now and then: :mod:`harness.plugin.progress`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import pytest
from rich.console import Console
from rich.control import Control
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.plugin import workers

NAME = "harness.plugin.progress_bar"  # what it is registered as


class Bar:
    """The bar itself; it stands on the line below the one that pytest writes, and is gone whenever pytest writes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            MofNCompleteColumn(),
            TextColumn("tests"),
            BarColumn(bar_width=20),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            TextColumn("{task.fields[test]}", style="dim", markup=False),
            console=console,
            transient=True,
            refresh_per_second=2,
            speed_estimate_period=float("inf"),  # seconds; the pace of the whole run, as tests take minutes
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=None, test="")
        self._column: int | None = None  # where pytest's line ends while the bar is shown

    def set_test(self, name: str, total: int) -> None:
        """Show the name of the test that runs, one of ``total``."""
        self._progress.update(self._task, test=name, total=total)

    def advance(self, total: int) -> bool:
        """Count one more test of ``total``; whether it was the last one.

        The first one measures the control, too, and tells nothing of the pace.
        """
        done = self._progress.tasks[0].completed + 1
        if done == 1:
            self._progress.reset(self._task, total=total, completed=1)
        else:
            self._progress.update(self._task, total=total, completed=done)
        return done >= total

    def show(self, column: int) -> None:
        """Draw it; ``column`` is how many characters stand on the line that the cursor is on."""
        if self._column is None:
            self._column = column
            if column:
                self._console.file.write("\n")
            self._progress.start()

    def hide(self) -> None:
        """Erase it, and put the cursor back to where it was."""
        if self._column is None:
            return
        self._progress.stop()
        if self._column:
            self._console.control(Control.move_to_column(self._column, -1))
        self._console.file.flush()
        self._column = None


class BarPlugin:
    """Hooks that hide the bar while pytest writes. ``column`` says how many characters stand on pytest's line."""

    def __init__(self, bar: Bar, total: Callable[[], int], column: Callable[[], int]) -> None:
        self._bar, self._total, self._column = bar, total, column
        self._over = False

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Without the bar for the length of a ``with`` block, in which something is printed."""
        self._bar.hide()
        yield
        if not self._over:
            self._bar.show(self._column())

    def stop(self) -> None:
        """Hide it for good."""
        self._over = True
        self._bar.hide()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, object, object]:
        """Pytest writes a file's name, or a test's."""
        function, _, case = nodeid.rpartition("::")[2].partition("[")
        self._bar.set_test(case.removesuffix("]") or function, self._total())
        with self.hidden():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """Pytest writes a dot, or a letter."""
        if report.when == "setup" and report.passed:
            return (yield)  # nothing is written
        with self.hidden():
            if report.when == "teardown":
                # After the last test pytest writes outside of these hooks.
                self._over = self._bar.advance(self._total()) or self._over
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logfinish(self) -> Generator[None, object, object]:
        """Pytest writes how many percent are done."""
        with self.hidden():
            return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """No test runs any more."""
        self.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        """Ctrl-C."""
        self.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self) -> None:
        """A traceback follows."""
        self.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_enter_pdb(self) -> None:
        """The terminal is the debugger's."""
        self.stop()

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self) -> None:
        """pytest-xdist says so at the cursor."""
        self._bar.hide()


def register(config: pytest.Config, total: Callable[[], int]) -> BarPlugin | None:
    """Begin to show a bar where pytest writes to a terminal and nobody else does; None elsewhere.

    ``total`` says how many tests there are. Not with ``-q``, nor where tests write to the terminal themselves: with
    ``-s``, live logs or a debugger, or under another reporter.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    own = type(reporter) is pytest.TerminalReporter and not workers.is_worker(config)
    if not own or config.get_verbosity() < 0 or _tests_write(config):
        return None
    writer: Any = config.get_terminal_writer()
    file = _terminal(writer)
    if file is None:
        return None
    console = Console(file=file, width=writer.fullwidth, no_color=not writer.hasmarkup, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    config.add_cleanup(file.close)
    plugin = BarPlugin(Bar(console), total, lambda: int(writer.width_of_current_line))
    config.pluginmanager.register(plugin, NAME)
    return plugin


def _tests_write(config: pytest.Config) -> bool:
    """Whether what tests print gets to the terminal: without capture, in a debugger, or as live logs."""
    logs = config.pluginmanager.hasplugin("logging-plugin")
    live = logs and (config.getini("log_cli") or config.getoption("log_cli_level", None))
    return config.getoption("capture", "no") == "no" or config.getoption("usepdb", False) or bool(live)


def _terminal(writer: Any) -> TextIO | None:
    """A file of our own on pytest's terminal, whose own is a temporary one while a test runs; None for no terminal."""
    file = getattr(writer, "_file", None)  # has no public name
    try:
        if file is None or not file.isatty():
            return None
        return os.fdopen(os.dup(file.fileno()), "w", encoding=file.encoding, errors="replace")
    except (OSError, ValueError):
        return None

"""The bar stands below what pytest writes, and leaves no trace of itself."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from harness.plugin.progress_bar import Bar, BarPlugin
from tests.helpers.screen import Screen


@pytest.fixture
def terminal():
    """A file that is a terminal, and the bar on it."""
    file = io.StringIO()
    return file, Bar(Console(file=file, force_terminal=True, width=100, color_system="standard"))


def seen(file):
    return Screen().feed(file.getvalue())


@pytest.mark.parametrize("line", ["cases/test_flux.py ..", ""])
def test_it_stands_below_pytest_s_line_and_goes_without_a_trace(terminal, line):
    file, bar = terminal
    file.write(f"header\n{line}")
    bar.set_test("flux-tiny-double-L01-skip", total=4)
    bar.show(len(line))
    screen = seen(file)
    assert screen.lines[1] == line or not line
    assert "0/4 tests" in screen.text
    assert "flux-tiny-double-L01-skip" in screen.text
    bar.show(len(line))  # is shown already
    bar.hide()
    bar.hide()
    file.write(".F")
    screen = seen(file)
    assert screen.text == f"header\n{line}.F"
    assert not screen.cursor_hidden


def test_it_says_how_long_the_rest_takes_by_the_pace_after_the_first_test(terminal, monkeypatch):
    file, bar = terminal
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(bar._progress, "get_time", lambda: clock.now)
    assert bar.advance(5) is False  # it measured the control, too
    for _ in range(2):
        clock.now += 90
        assert bar.advance(5) is False
    bar.show(0)
    assert "3/5 tests" in seen(file).text
    assert "03:00 left" in seen(file).text
    bar.hide()
    clock.now += 90
    assert bar.advance(5) is False
    assert bar.advance(5) is True


def test_it_is_drawn_again_while_a_test_runs(terminal):
    file, bar = terminal
    bar.show(0)
    before = len(file.getvalue())
    deadline = time.monotonic() + 20
    while len(file.getvalue()) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(file.getvalue()) > before
    bar.hide()
    assert seen(file).text == ""


def drive(plugin, file, reports):
    """Hooks as pytest calls them, each writing what pytest would."""

    def around(hook, text=""):
        file.write(text)
        with pytest.raises(StopIteration):
            hook.send(None)

    for report in reports:
        start = plugin.pytest_runtest_logstart("cases/test_flux.py::test_ablation[m-s-skip]")
        next(start)
        around(start)
        for when, text in (("setup", ""), ("call", report), ("teardown", "")):
            hook = plugin.pytest_runtest_logreport(SimpleNamespace(when=when, passed=report != "F"))
            next(hook)
            around(hook, text)
        finish = plugin.pytest_runtest_logfinish()
        next(finish)
        around(finish)


def test_pytest_s_line_is_as_without_it(terminal):
    file, bar = terminal
    file.write("cases/test_flux.py ")
    plugin = BarPlugin(bar, lambda: 3, lambda: len(seen(file).lines[0]))
    drive(plugin, file, [".", "F"])
    assert seen(file).lines[0] == "cases/test_flux.py .F"
    assert "2/3 tests" in seen(file).text
    drive(plugin, file, ["."])
    assert seen(file).text == "cases/test_flux.py .F."  # none after the last test
    with plugin.hidden():
        file.write("\n100 %")
    assert seen(file).text == "cases/test_flux.py .F.\n100 %"


@pytest.mark.parametrize(
    "hook", ["pytest_sessionfinish", "pytest_keyboard_interrupt", "pytest_internalerror", "pytest_enter_pdb"]
)
def test_it_does_not_come_back_after_the_end(terminal, hook):
    file, bar = terminal
    file.write("x")
    plugin = BarPlugin(bar, lambda: 3, lambda: 1)
    with plugin.hidden():
        pass
    assert "tests" in seen(file).text
    getattr(plugin, hook)()
    with plugin.hidden():
        pass
    assert seen(file).text == "x"


def test_without_colours_it_is_drawn_plainly():
    file = io.StringIO()
    bar = Bar(Console(file=file, force_terminal=True, width=100, no_color=True))
    bar.set_test("t", 2)
    bar.show(0)
    bar.hide()
    assert "\x1b[3" not in file.getvalue()  # rich's colours
    assert "0/2 tests" in file.getvalue()

"""SIGTERM is Ctrl-C where that is asked for, and nowhere else; command lines lose options."""

from __future__ import annotations

import signal
import threading

import pytest

from harness.interrupts import sigterm_as_ctrl_c, sigterm_kept, without_options

TERM = signal.SIGTERM


@pytest.fixture(autouse=True)
def default_handler():
    """Of the test's own: the plugin's stands where the suite runs."""
    before = signal.signal(TERM, signal.SIG_DFL)
    yield
    signal.signal(TERM, before)


@pytest.mark.parametrize("ctrl_c", [signal.default_int_handler, signal.SIG_IGN], ids=["raises", "ignored"])
def test_sigterm_raises_what_ctrl_c_raises_and_the_handler_goes(ctrl_c):
    """Ctrl-C is ignored in what a shell has put into the background, and in workers of pytest-xdist."""
    called = []
    before = signal.signal(signal.SIGINT, ctrl_c)
    try:
        with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c(lambda: called.append(1)):
            signal.raise_signal(TERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert called == [1]
    assert signal.getsignal(TERM) is signal.SIG_DFL


def test_it_goes_to_whatever_handles_ctrl_c():
    noted = []
    before = signal.signal(signal.SIGINT, lambda *_: noted.append(1))
    try:
        with sigterm_as_ctrl_c():
            signal.raise_signal(TERM)
    finally:
        signal.signal(signal.SIGINT, before)
    assert noted == [1]


def test_the_handler_of_somebody_else_stays():
    def theirs(*_):
        pass

    signal.signal(TERM, theirs)
    with sigterm_as_ctrl_c():
        assert signal.getsignal(TERM) is theirs
    assert signal.getsignal(TERM) is theirs


def test_a_library_may_not_keep_its_handler():
    with sigterm_as_ctrl_c():
        ours = signal.getsignal(TERM)
        with sigterm_kept():
            signal.signal(TERM, lambda *_: None)
        assert signal.getsignal(TERM) is ours


def test_another_thread_changes_nothing():
    seen = []

    def work():
        with sigterm_as_ctrl_c(), sigterm_kept():
            seen.append(signal.getsignal(TERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.SIG_DFL]


def test_options_with_a_value_are_left_out_in_both_ways_of_writing():
    words = ["a", "--out", "x", "--output", "y", "--out=z", "b"]
    assert without_options(words, ["--out"]) == ["a", "--output", "y", "b"]

"""Runs that are stopped early: SIGTERM ends them as Ctrl-C does, and the command line that goes on with them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def sigterm_as_ctrl_c(first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Inside the ``with`` block SIGTERM, as a scheduler or ``kill`` sends it, does what Ctrl-C (SIGINT) does there.

    Where Ctrl-C is ignored, it raises KeyboardInterrupt. ``first`` is called before. Another handler of SIGTERM stays,
    since whoever has set one wants it; and nothing is changed in another thread than the main one, where Python lets
    nobody set a handler.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(*_: object) -> None:
        first()
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, signal.SIG_DFL):
            raise KeyboardInterrupt  # a shell starts what it puts into the background with Ctrl-C ignored
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Inside the ``with`` block a library may set a handler of SIGTERM; behind it the one from before is back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


def without_options(arguments: Sequence[str], names: Sequence[str]) -> list[str]:
    """The arguments of a command line without some options, each of which takes a value: ``--name VALUE`` or ``=``."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in names:
            skip = True
        elif not argument.startswith(tuple(f"{name}=" for name in names)):
            kept.append(argument)
    return kept

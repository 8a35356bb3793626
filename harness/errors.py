"""The errors that a user can cause: each message says what was wrong, where, and what to do about it."""

from __future__ import annotations

import sys
from typing import NoReturn

_LONGEST = 700  # characters of a message
_END = 300  # of them at its end, where the fix is


class HarnessError(Exception):
    """Base of every error with a message meant for the user; never shown with a traceback of ours.

    The message may quote a path, an option or a foreign file: it is made one line that a terminal can show.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(message))


def refuse(line: str) -> NoReturn:
    """Raise HarnessError: what becomes of a problem where nobody is told of it and work can't go on."""
    raise HarnessError(line)


def printable(text: str) -> str:
    """The text with everything that a terminal would obey (line breaks, escapes, marks of direction) spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shortened(text: str) -> str:
    """The text as one printable line of at most 700 characters; what is longer loses its middle."""
    line = printable(text)
    if len(line) <= _LONGEST:
        return line
    return f"{line[: _LONGEST - _END - 5]} ... {line[-_END:]}"


class PlanError(HarnessError, ValueError):
    """A plan that doesn't parse, or that doesn't fit its stack."""


class CaseError(HarnessError, ValueError):
    """An unknown strategy, stack, range or parameter, or a combination that makes no case."""


class CheckpointError(HarnessError):
    """A checkpoint that isn't there, is of another class, or is damaged."""


class PromptError(HarnessError, ValueError):
    """A prompt file or a prompt that can't be used."""


class BaselineError(HarnessError):
    """A baseline or tolerance file that can't be read or doesn't belong to what is compared."""


class JournalError(HarnessError):
    """A journal that can't be read or written."""


class DataError(HarnessError, ValueError):
    """Stored data that isn't laid out as what is read from it; the message names the field."""


class SurgeryError(HarnessError, RuntimeError):
    """A model whose blocks can't be rearranged without guessing, or an ablation that did not take hold."""


class ExportError(HarnessError, ValueError):
    """A plan that can't be saved as a model, a model that can't be pruned, or a folder that can't take it."""


class ExtensionError(HarnessError):
    """Something that another installed package adds by an entry point and that can't be used."""


class MetricError(HarnessError):
    """An extra metric that can't be measured: ``short`` is why, in a few words, ``fix`` what to do about it."""

    def __init__(self, name: str, short: str, fix: str) -> None:
        super().__init__(f"metric {name!r}: {short}; {fix}")
        self.short = short
        self.fix = fix


class OptionError(HarnessError, ValueError):
    """An option's value that isn't known, or that means nothing here."""


def missing_package(name: str) -> str:
    """What to say where a package that the harness needs can't be imported: mostly, an environment was forgotten."""
    return (
        f"{name.partition('.')[0]!r} is not installed for {sys.executable}: activate the virtual environment that the "
        "harness was installed in (. .venv/bin/activate), or install it (pip install -c constraints.txt -e .)"
    )


def first_line(error: BaseException, *, with_type: bool = False) -> str:
    """What an error of another library says, in one line: its first, and the second where the first ends in a colon.

    The name of its class where it says nothing; ``with_type`` puts that before the line, too: ``KeyError: 'x'``.
    """
    lines = [line.strip() for line in str(error).strip().split("\n")]
    text = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    name = type(error).__name__
    if not text:
        return name
    return f"{name}: {text}" if with_type else text

"""The errors that a user can cause: each message says what was wrong, where, and what to do about it."""

from __future__ import annotations


class HarnessError(Exception):
    """Base of every error with a message meant for the user; never shown with a traceback of ours."""


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

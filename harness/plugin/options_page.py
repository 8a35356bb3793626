"""The table of options in docs/options.md, from the options themselves: ``python -m harness.plugin.options_page``."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

from harness.markdown import markdown_table
from harness.plugin.command_line import add_options
from harness.plugin.option_values import WITHOUT_KEY, key_of
from harness.report.text import NOTHING


class _Recorder:
    """Takes the place of pytest's parser, and keeps the options that it is given."""

    def __init__(self) -> None:
        self.options: list[tuple[str, dict[str, Any]]] = []

    def getgroup(self, *_: str) -> _Recorder:
        return self

    def addoption(self, name: str, **about: Any) -> None:
        self.options.append((name, about))

    def addini(self, *_: str, **__: Any) -> None:
        """The keys follow from the options."""


def options_markdown() -> str:
    """Every option, its key in the configuration file, and what it does."""
    recorder = _Recorder()
    add_options(cast("pytest.Parser", recorder))
    rows = [_row(name, about) for name, about in recorder.options]
    return "\n".join(markdown_table(("option", "key", "what it does"), rows))


def _row(name: str, about: dict[str, Any]) -> tuple[str, str, str]:
    plain = name.removeprefix("--dit-").replace("-", "_")
    takes = f" {about['metavar']}" if "metavar" in about else ""
    return f"`{name}{takes}`", NOTHING if plain in WITHOUT_KEY else f"`{key_of(plain)}`", about["help"]


if __name__ == "__main__":
    sys.stdout.write(options_markdown() + "\n")

"""The raw values of the plugin's options: from the command line, or else from pytest's configuration file.

``--dit-stack`` has the key ``dit_stack`` in ``pyproject.toml``, ``pytest.ini`` ...; the command line takes precedence.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.errors import shortened
from harness.spelling import did_you_mean

PREFIX = "--dit-"
_DEST = "dit_"  # begins the names of the values in pytest's parser, and the keys of the configuration file
_LONGEST_NAME, _LONGEST_PATH = 255, 2000  # characters; what file systems take
# What one run is asked to do, and not how a project's runs are made.
WITHOUT_KEY = frozenset({"run_id", "resume", "shard", "baseline_update", "calibrate", "perturb", "budget"})
FLAGS = frozenset({"trust_judge", "quick", "adaptive", "strict", "analysis"})
LISTS = frozenset(
    {"stack", "range", "strategy", "plan", "modifier", "steps_window", "pass", "metric", "perturb", "log", "columns"}
)
_PATHS = frozenset({"prompts", "pictures", "images", "reports"})
_NAMES_OR_PATHS = frozenset({"checkpoint", "lora", "judge", "metric"})
_GRID = ("quick", "stack", "range", "strategy")
# An option of the command line, and what it makes void in the configuration file.
_REPLACES: Mapping[str, Collection[str]] = {
    "plan": _GRID,
    **dict.fromkeys(_GRID, ("plan",)),
    "strict": ("unjudged",),
    "unjudged": ("strict",),
    "baseline_update": ("quick", "adaptive"),
    "calibrate": ("quick", "adaptive"),
    "shard": ("adaptive",),
}


def option_of(name: str) -> str:
    """``--dit-steps-window`` for ``steps_window``."""
    return PREFIX + name.replace("_", "-")


def key_of(name: str) -> str:
    """``dit_steps_window`` for ``steps_window``."""
    return _DEST + name


@dataclass(frozen=True)
class OptionValues:
    """Values by the option's name with underscores: a text, a bool, a list of texts, or None where it is left out.

    ``typed`` are the names that the command line has, ``configured`` those whose value the configuration file has.
    """

    values: Mapping[str, Any]
    typed: frozenset[str]
    configured: frozenset[str]

    def text(self, name: str) -> str | None:
        """The value of an option that takes one."""
        value: str | None = self.values.get(name)
        return value

    def flag(self, name: str) -> bool:
        """Whether an option without a value is on."""
        return bool(self.values.get(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of an option that may be repeated."""
        return tuple(self.values.get(name) or ())

    def several(self, name: str) -> tuple[str, ...]:
        """The same, each value split at its commas."""
        return tuple(part.strip() for value in self.texts(name) for part in value.split(",") if part.strip())


def read_values(config: pytest.Config, *, void: Mapping[str, Collection[str]]) -> OptionValues:
    """The values of every option; ``void`` names what further options of the command line make void in the file."""
    names = [name.removeprefix(_DEST) for name in vars(config.option) if name.startswith(_DEST)]
    typed = {name: config.getoption(key_of(name)) for name in names}
    typed = {name: value for name, value in typed.items() if value is not None and value is not False}
    ignored = {other for rules in (_REPLACES, void) for name in typed for other in rules.get(name, ())}
    configured: dict[str, Any] = {}
    for name in names:
        if name not in typed and name not in ignored and name not in WITHOUT_KEY:
            value = config.getini(key_of(name))
            if value is not None and value != [] and value is not False:
                configured[name] = _from_file(config, name, value)
    return OptionValues({**configured, **typed}, frozenset(typed), frozenset(configured))


def _from_file(config: pytest.Config, name: str, value: Any) -> Any:
    """A value of the configuration file, whose paths begin where the file is."""
    folder = config.inipath.parent if config.inipath is not None else config.rootpath
    if name in _PATHS:
        return str(folder / value)
    if name not in _NAMES_OR_PATHS:
        return value
    return [_place(folder, text) for text in value] if isinstance(value, list) else _place(folder, value)


def _place(folder: Path, text: str) -> str:
    """A path from a folder made absolute, also behind ``NAME=``; a name or a hub id as it is."""
    name, equals, where = text.rpartition("=")
    is_path = os.sep in where and (folder / where).exists()
    return f"{name}{equals}{folder / where}" if is_path else text


def check_option_names(known: Collection[str], arguments: Sequence[str]) -> None:
    """Raise pytest.UsageError for an option that begins as ours and isn't, with the nearest one.

    ``known`` are the names of the values in pytest's parser, ``arguments`` the words of the command line.
    """
    ours = [option_of(name.removeprefix(_DEST)) for name in known if name.startswith(_DEST)]
    for argument in arguments:
        if argument == "--":
            return
        name = argument.partition("=")[0]
        if name.startswith(PREFIX) and name not in ours:
            guess = did_you_mean(name, ours)
            raise pytest.UsageError(f"there is no option {shortened(name)}{guess}; pytest --help shows all of them")


def check_lengths(given: OptionValues) -> None:
    """Raise pytest.UsageError for values that no option takes: a name or a path has a length."""
    for name, value in given.values.items():
        option, values = option_of(name), value if isinstance(value, list) else [value]
        # argparse makes an empty list of --dit-x=--
        if value == [] or not all(isinstance(text, str | bool) for text in values):
            raise pytest.UsageError(f"{option} needs a value")
        for text in (text for text in values if isinstance(text, str)):
            longest = max(map(len, text.split("/")))
            if option != "--dit-plan" and (longest > _LONGEST_NAME or len(text) > _LONGEST_PATH):
                raise pytest.UsageError(f"{option} is {len(text)} characters long: {text[:60]!r} ...")

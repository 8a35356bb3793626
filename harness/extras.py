"""Packages that only some commands need: imported where they are, named with the command that installs them if not."""

from __future__ import annotations

import importlib
from types import ModuleType

from harness.errors import HarnessError


def install_command(extra: str) -> str:
    """What installs the packages of an extra of pyproject.toml."""
    return f"pip install 'dit-ablation-harness[{extra}]'"


def missing(user: str, package: str, extra: str) -> str:
    """What is wrong where ``user``, an option or a command as it is typed, needs a package that is not installed."""
    return f"{user} needs the package {package}, which is not installed; run: {install_command(extra)}"


def import_extra(package: str, extra: str, user: str) -> ModuleType:
    """The package of an extra that ``user`` needs. Raises HarnessError where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise HarnessError(missing(user, package, extra)) from None

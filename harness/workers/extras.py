"""Packages that only some runners need, imported where they are, named where they are not."""

from __future__ import annotations

import importlib
from types import ModuleType

from harness.errors import HarnessError


def import_extra(package: str, extra: str) -> ModuleType:
    """The package of an extra. Raises HarnessError with the command that installs it where it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != package:
            raise
        raise HarnessError(
            f"--on {extra} needs the package {package}, which is not installed: "
            f"pip install 'dit-ablation-harness[{extra}]'"
        ) from None

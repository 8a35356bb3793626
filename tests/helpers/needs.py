"""Tests of what an older release of diffusers doesn't have are skipped there, with the name of what is missing."""

from __future__ import annotations

import inspect
import pkgutil

import diffusers
import pytest


def missing(path: str, argument: str = "") -> str:
    """What the installed release lacks of ``diffusers.QwenImagePipeline``, or of a method's ``argument``; "" for none.

    ``diffusers.WanPipeline.__init__`` with ``transformer_2`` asks for the method and for its parameter.
    """
    release, name = f"diffusers {diffusers.__version__}", path.removeprefix("diffusers.").removeprefix("hooks.")
    try:
        value = pkgutil.resolve_name(path)
    except (AttributeError, ImportError):
        return f"{release} has no {name}"
    if argument and argument not in inspect.signature(value).parameters:
        return f"{release} has no argument {argument} of {name}"
    return ""


def needs(path: str, argument: str = "") -> pytest.MarkDecorator:
    """A mark that skips a test, or one parameter of it, where the installed release lacks something."""
    reason = missing(path, argument)
    return pytest.mark.skipif(bool(reason), reason=reason or "not skipped: this release has it")


def require(path: str, argument: str = "") -> None:
    """Skip the test that runs now, from a fixture or a helper, where the installed release lacks something."""
    reason = missing(path, argument)
    if reason:
        pytest.skip(reason)

"""Weights that are changed for a while, and put back bitwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn


@contextmanager
def kept_parameters(modules: Sequence[nn.Module]) -> Iterator[None]:
    """The modules' own parameters put back at the end: the very objects, on the very memory.

    Nothing is copied, so what happens meanwhile must give a parameter new data, and not write into the old.
    """
    kept = [
        (module, name, parameter, parameter.data)
        for module in modules
        for name, parameter in module.named_parameters(recurse=False)
    ]
    try:
        yield
    finally:
        for module, name, parameter, data in kept:
            parameter.data = data
            module.register_parameter(name, parameter)

"""The transformer classes of the installed diffusers."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import diffusers
from diffusers import ModelMixin
from diffusers.models import transformers
from torch import nn


def transformer_classes() -> dict[str, type[nn.Module]]:
    """Every model class of ``diffusers.models.transformers`` that diffusers hands out, by name, in alphabetical order.

    Modules that can't be imported here (an optional package is missing) have no classes.
    """
    found: dict[str, type[nn.Module]] = {}
    for info in pkgutil.iter_modules(transformers.__path__):
        try:
            module = importlib.import_module(f"{transformers.__name__}.{info.name}")
        except ImportError:
            continue
        for name, member in vars(module).items():
            own = inspect.isclass(member) and member.__module__ == module.__name__
            if own and issubclass(member, ModelMixin) and hasattr(diffusers, name):
                found[name] = member
    return dict(sorted(found.items()))

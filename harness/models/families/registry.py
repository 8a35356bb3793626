"""From a family's entry in the table to its adapter."""

from __future__ import annotations

from importlib import import_module

from harness.models.families.base import FamilyAdapter
from harness.models.spec import Family


def adapter(family: Family) -> FamilyAdapter:
    """The adapter that the family's entry names. Only that family's file is imported."""
    module, _, name = family.adapter.partition(":")
    kind: type[FamilyAdapter] = getattr(import_module(module), name)
    return kind(family)

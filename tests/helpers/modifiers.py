"""Modifiers as they are written."""

from __future__ import annotations

from harness.ablation.modifier import Reach
from harness.ablation.modifier_table import MODIFIERS


def example(name: str, place: str = "single-L01-02") -> str:
    """One way of writing a modifier: its first choice, and the least of each number that has to be written."""
    modifier = MODIFIERS[name]
    numbers = [f"{letter}{p.least}" for letter, p in modifier.parameters.items() if p.default is None]
    label = ".".join([name, *list(modifier.choices)[:1], *numbers])
    return f"{place}-{label}" if modifier.reach is Reach.RANGE else label

"""The prompts of a variant that lost most, for the failure message and the picture beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import printable
from harness.results.harm import harm_by_prompt
from harness.results.records import Measurement

_WORST = 3  # how many are named
_LONGEST = 80  # characters of a prompt in a message


@dataclass(frozen=True)
class PromptHarm:
    """One prompt: ``number`` counts from 1, ``harm`` is the mean over seeds in sd; ``text`` may be empty."""

    number: int
    harm: float
    text: str

    @property
    def short(self) -> str:
        """The text as one printable line of at most 80 characters."""
        return textwrap.shorten(printable(self.text), _LONGEST, placeholder=" ...")


def prompt_harms(measurement: Measurement, texts: Sequence[str]) -> list[PromptHarm]:
    """Every prompt of a variant's measurement, in the order of the prompt file.

    ``texts`` are the prompts, empty where they aren't known. Without a measured harm the list is empty.
    """
    if "harm" not in measurement.values:
        return []
    harms = harm_by_prompt(measurement)
    known = texts if len(texts) == len(harms) else [""] * len(harms)
    return [PromptHarm(i, float(harm), text) for i, (harm, text) in enumerate(zip(harms, known, strict=True), start=1)]


def worst(prompts: Sequence[PromptHarm]) -> list[PromptHarm]:
    """The three with the highest harm, the highest first; of equal ones, the first of the file."""
    return sorted(prompts, key=lambda prompt: -prompt.harm)[:_WORST]

"""Prompts that are longer than what a model reads: scored sentence by sentence, never cut off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.errors import PromptError
from harness.metrics.batches import Kind
from harness.models.prompts import sentences


def pieces(text: str, length: Callable[[str], int], context: int, reader: str = "the judge") -> tuple[str, ...]:
    """A text that fits into ``context`` tokens as it is, a longer one as its sentences.

    Raises PromptError naming the prompt and its length where a sentence alone doesn't fit.
    """
    if (tokens := length(text)) <= context:
        return (text,)
    parts = tuple(sentences(text))
    for part in parts:
        if (inside := length(part)) > context:
            what = f"this prompt has {tokens}" + (f", {inside} of them in one sentence" if len(parts) > 1 else "")
            raise PromptError(
                f"{reader} reads {context} tokens, {what}: {part[:60]!r}; a long prompt is scored sentence by "
                "sentence, so write shorter sentences"
            )
    return parts


@dataclass(frozen=True)
class Pieces:
    """The pieces of several prompts in one list, and which prompt each belongs to."""

    texts: tuple[str, ...]
    rows: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]

    @classmethod
    def of(cls, split: Sequence[Sequence[str]]) -> Pieces:
        """From the pieces of each prompt, of which there is at least one."""
        counts = np.array([len(parts) for parts in split], dtype=np.intp)
        rows = np.repeat(np.arange(len(split)), counts)
        return cls(tuple(part for parts in split for part in parts), rows, counts.cumsum() - counts)

    def mean(self, values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
        """(N,) means over each prompt's pieces; a prompt of one piece keeps its value bitwise."""
        counts = np.diff(self.starts, append=len(values)).astype(values.dtype)
        return np.divide(np.add.reduceat(values, self.starts), counts, dtype=values.dtype)

    def least(self, values: npt.NDArray[Kind]) -> npt.NDArray[Kind]:
        """(N,) minima over each prompt's pieces."""
        return np.minimum.reduceat(values, self.starts)

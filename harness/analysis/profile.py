"""What was seen inside a model, as plain arrays: written by harness.analysis, read by figures, grouping and claims.

A stack of L blocks has D = L + 1 states in each stream: what enters block 0, and what leaves each block. A last
block that gives no text (SD3) leaves D = L states in the text stream. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
STREAMS = ("image", "text")
SETTINGS = ("trajectory", "noised")
REDUCTIONS = ("mean", "last")


@dataclass(frozen=True)
class Stream:
    """One stream of one stack, over B bins of the noise level; a bin that saw no sample is NaN.

    A sample is one (prompt, noise level). ``count`` (B,) are samples. ``cosine`` and ``centred`` (B, D, D) are the
    mean over tokens and samples of cos(h_i, h_j), raw and after subtracting each sample's mean token. ``cka``
    (B, D, D) is debiased linear CKA over tokens. ``angular`` and ``angular_last`` (B, D - 1) are (1/pi) arccos(cos)
    of consecutive states: mean over the tokens, and of the last token alone. ``draws`` (R, D, D) and
    ``angular_draws`` (R, D - 1) are ``centred`` and ``angular`` over all bins, each with prompts drawn anew (Poisson
    bootstrap), for intervals and stability.
    """

    stack: str
    name: str
    count: Array
    cosine: Array
    centred: Array
    cka: Array
    angular: Array
    angular_last: Array
    draws: Array
    angular_draws: Array

    def overall(self, what: str) -> Array:
        """One of the measures by its field's name over all samples: the mean over bins, weighted by their counts."""
        table: Array = getattr(self, what)
        seen = self.count > 0
        return np.asarray(np.average(table[seen], axis=0, weights=self.count[seen]), dtype=np.float64)

    @property
    def influence(self) -> Array:
        """(D - 1,) block influence 1 - E cos(h_in, h_out) (ShortGPT, arXiv 2403.03853)."""
        return np.asarray(1.0 - np.diagonal(self.overall("cosine"), offset=1), dtype=np.float64)


@dataclass(frozen=True)
class Profile:
    """All streams of a model under one ``setting``; ``edges`` (B + 1,) cut the noise level 0..1 into bins."""

    checkpoint: str
    setting: str
    prompts: int
    edges: Array
    lengths: Mapping[str, int]  # stack -> L
    streams: tuple[Stream, ...]
    made_with: Mapping[str, str] = field(default_factory=dict[str, str])

    def stream(self, stack: str, name: str) -> Stream:
        """Raises KeyError where there is none."""
        for found in self.streams:
            if (found.stack, found.name) == (stack, name):
                return found
        raise KeyError(f"no {name} stream of stack {stack!r}")


@dataclass(frozen=True)
class Velocity:
    """What skipping one block does to the predicted velocity, on the control's own trajectory.

    ``error`` (P, S, L) is ||v_skip - v||^2 / ||v||^2 for each prompt, denoising step and block of ``stack``;
    ``levels`` (S,) is the noise level of each step.
    """

    checkpoint: str
    stack: str
    levels: Array
    error: Array

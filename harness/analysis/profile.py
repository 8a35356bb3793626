"""Statistics of a model's hidden states as plain arrays: made by harness.analysis, read by figures, grouping, claims.

A stack of L blocks has D = L + 1 states in each stream: what enters block 0, and what leaves each block. A last
block that gives no text (SD3) leaves D = L states in the text stream. Nothing here needs torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.errors import HarnessError
from harness.files import write_atomically
from harness.results.arrays import Array
from harness.results.serialise import Count, Rule, parse, to_plain

STREAMS = ("image", "text")
SETTINGS = ("trajectory", "noised")
LAST = "last"  # the last token alone, as in the SD3.5-Large study
REDUCTIONS = ("mean", LAST)


@dataclass(frozen=True)
class Stream:
    """One stream of one stack, over B bins of the noise level; a bin that saw no sample is NaN.

    A sample is one (prompt, noise level). ``count`` (B,) are samples. ``cosine`` and ``centred`` (B, D, D) are the
    mean over tokens and samples of cos(h_i, h_j), raw and after subtracting each sample's mean token. ``cka``
    (B, D, D) is debiased linear CKA over tokens. ``angular`` and ``angular_last`` (B, D - 1) are (1/pi) arccos(cos)
    of consecutive states: mean over the tokens, and of the last token alone. ``draws`` (R, D, D), ``angular_draws``
    and ``angular_last_draws`` (R, D - 1) are ``centred``, ``angular`` and ``angular_last`` over all bins, each with
    prompts drawn anew (Poisson bootstrap), for intervals and stability.
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
    angular_last_draws: Array

    def angles(self, reduction: str) -> Array:
        """(B, D - 1) angular distances, reduced over tokens by one of REDUCTIONS."""
        return self.angular_last if reduction == LAST else self.angular

    def angle_draws(self, reduction: str) -> Array:
        """(R, D - 1) the bootstrap draws of :meth:`angles` over all bins."""
        return self.angular_last_draws if reduction == LAST else self.angular_draws

    def overall(self, what: str) -> Array:
        """One of the measures by its field's name over all samples: the mean over bins, weighted by their counts."""
        table: Array = getattr(self, what)
        filled = self.count > 0
        return np.asarray(np.average(table[filled], axis=0, weights=self.count[filled]), dtype=np.float64)

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
        """The stream of that name in a stack. Raises KeyError where there is none."""
        for stream in self.streams:
            if (stream.stack, stream.name) == (stack, name):
                return stream
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


FORMAT = "dit-ablation-harness.profile"  # the one key of the metadata: several would be written in any order
_SCHEMA = 1
ARRAYS = tuple(f.name for f in fields(Stream) if f.name not in ("stack", "name"))


@dataclass(frozen=True)
class _About:
    """What a profile's file says beside its arrays."""

    schema: int
    checkpoint: str
    setting: Annotated[str, Rule(SETTINGS.__contains__, f"one of {', '.join(SETTINGS)}")]
    prompts: Count
    lengths: Mapping[str, Count]
    streams: tuple[tuple[str, Annotated[str, Rule(STREAMS.__contains__, f"one of {', '.join(STREAMS)}")]], ...]
    made_with: Mapping[str, str]


def write(profile: Profile, path: Path) -> None:
    """Write a profile, whole or not at all. Raises HarnessError where that fails; the old file is then intact."""
    about = _About(
        schema=_SCHEMA,
        checkpoint=profile.checkpoint,
        setting=profile.setting,
        prompts=profile.prompts,
        lengths=profile.lengths,
        streams=tuple((stream.stack, stream.name) for stream in profile.streams),
        made_with=profile.made_with,
    )
    arrays = {"edges": profile.edges}
    for stream in profile.streams:
        arrays |= {f"{stream.stack}.{stream.name}.{name}": getattr(stream, name) for name in ARRAYS}
    metadata = {FORMAT: json.dumps(to_plain(about), sort_keys=True)}
    ready = {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in arrays.items()}
    write_atomically(path, save(ready, metadata))


def read(path: Path) -> Profile:
    """Read a profile.

    Raises HarnessError: no such file, not a profile, of another schema, or damaged; the message says which.
    """
    try:
        with safe_open(path, framework="np") as stored:
            metadata = stored.metadata() or {}
            arrays: dict[str, Array] = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no dict
    except FileNotFoundError:
        raise HarnessError(f"there is no profile {path}") from None
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise HarnessError(f"can't read the profile {path}: {error}; write it again") from None
    if FORMAT not in metadata:
        raise HarnessError(f"{path} is a safetensors file, but no profile of layers")
    try:
        return _profile(parse(_About, metadata[FORMAT], schema=_SCHEMA), arrays)
    except (KeyError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise HarnessError(f"the profile {path} is damaged: {what}; write it again") from None


def _profile(about: _About, arrays: Mapping[str, Array]) -> Profile:
    """Raises KeyError or ValueError where an array isn't there, or not as it was written."""
    edges = arrays["edges"]
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError("the edges of the bins don't rise")
    streams: list[Stream] = []
    for stack, name in about.streams:
        stream = Stream(stack, name, **{field: arrays[f"{stack}.{name}.{field}"] for field in ARRAYS})
        _check(stream, len(edges) - 1, about.lengths[stack])
        streams.append(stream)
    return Profile(
        about.checkpoint, about.setting, about.prompts, edges, about.lengths, tuple(streams), about.made_with
    )


def _check(stream: Stream, bins: int, length: int) -> None:
    depth, draws = (stream.cosine.shape or (0,))[-1], (stream.draws.shape or (0,))[0]
    if depth not in (length, length + 1):
        raise ValueError(f"{depth} {stream.name} states of stack {stream.stack!r}, which has {length} blocks")
    table, row = (depth, depth), (depth - 1,)
    shapes = {
        "count": (bins,),
        **dict.fromkeys(("cosine", "centred", "cka"), (bins, *table)),
        **dict.fromkeys(("angular", "angular_last"), (bins, *row)),
        "draws": (draws, *table),
        **dict.fromkeys(("angular_draws", "angular_last_draws"), (draws, *row)),
    }
    for name, shape in shapes.items():
        values: Array = getattr(stream, name)
        if values.shape != shape or values.dtype != np.float64:
            raise ValueError(
                f"{stream.stack}.{stream.name}.{name} is {values.dtype} {values.shape}, and should be float64 {shape}"
            )

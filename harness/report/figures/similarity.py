"""Similarity of a stream's states: cosines, raw and token-mean-centred, over all samples and in each noise bin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.profile import Profile, Stream
from harness.report.figures.sheet import Axis, Heat, Scale, Sheet, SheetRow, bin_names, span, state_axis
from harness.report.text import counted
from harness.results.arrays import Array

_SECTION = "Similarity of states"
_TITLES = {"cosine": "raw", "centred": "token mean taken out"}
_SETTINGS = {"trajectory": "the model's own sampling trajectory", "noised": "images noised to uniform levels"}
_ACROSS = 5  # small multiples in a row


def similarity(profile: Profile, stream: Stream, starts: Sequence[int] = ()) -> Sheet:
    """Raw and centred cosine side by side, averaged over all samples; each bin of the noise level as a frame.

    ``starts`` are the first blocks of the stack's groups. Each panel has a colour scale of its own: the raw
    cosines lie in a much smaller range than the centred ones.
    """
    axes = _axes(stream, starts)
    names = bin_names(profile.edges)
    panels = []
    for what, title in _TITLES.items():
        values = stream.overall(what)
        table: Array = getattr(stream, what)
        seen = {f"noise {name}": table[i] for i, name in enumerate(names) if stream.count[i] > 0}
        frames = {"all noise levels": values, **seen}
        panels.append(Heat(f"cosine, {title}", values, *axes, _scale(values), "cosine", frames=frames))
    note = f"{setting_words(profile)}; mean over tokens, prompts and noise levels.{_lines(axes[0])}"
    return Sheet(_name(profile, stream), _SECTION, _title(profile, stream), note, (SheetRow(tuple(panels)),))


def similarity_bins(profile: Profile, stream: Stream, starts: Sequence[int] = (), what: str = "centred") -> Sheet:
    """Small multiples: one cosine ("cosine" or "centred") in every bin of the noise level, on one colour scale."""
    x, y = _axes(stream, starts)
    table: Array = getattr(stream, what)
    scale = _scale(table)
    panels = [Heat(f"noise {name}", table[i], x, y, scale, "cosine") for i, name in enumerate(bin_names(profile.edges))]
    across = min(_ACROSS, len(panels))
    rows = tuple(
        SheetRow(tuple(panels[i : i + across]), weights=(1.0,) * across) for i in range(0, len(panels), across)
    )
    title = f"{_title(profile, stream)}, by noise level"
    note = f"{setting_words(profile)}; cosine, {_TITLES[what]}, mean over tokens and prompts.{_lines(x)}"
    return Sheet(f"{_name(profile, stream)}-{what}-bins", _SECTION, title, note, rows)


def setting_suffix(profile: Profile) -> str:
    """What tells the files of a second setting from those of the first."""
    return "" if profile.setting == "trajectory" else f"-{profile.setting}"


def setting_words(profile: Profile) -> str:
    """``16 prompts, the model's own sampling trajectory``."""
    return f"{counted(profile.prompts, 'prompt')}, {_SETTINGS.get(profile.setting, profile.setting)}"


def _name(profile: Profile, stream: Stream) -> str:
    return f"similarity-{stream.stack}-{stream.name}{setting_suffix(profile)}"


def _title(profile: Profile, stream: Stream) -> str:
    return f"{profile.checkpoint}: similarity of states, {stream.stack} stack, {stream.name} stream"


def _axes(stream: Stream, starts: Sequence[int]) -> tuple[Axis, Axis]:
    states = stream.cosine.shape[-1]
    return (
        state_axis("state after block", states, starts),
        state_axis("state after block", states, starts, flipped=True),
    )


def _scale(values: Array) -> Scale:
    seen = values[np.isfinite(values)]
    scale = span(seen, "cosine")
    # Every state is itself: the scale ends at 1 however the rounding fell.
    return Scale(scale.label, scale.low, 1.0) if scale.low < 1 else scale


def _lines(axis: Axis) -> str:
    return " Lines: borders of groups." if axis.cuts else ""

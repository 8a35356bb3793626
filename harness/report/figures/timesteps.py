"""Noise level x block: angular distance of consecutive states, and the velocity error of skipping a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.profile import LAST, REDUCTIONS, Profile, Velocity
from harness.report.figures.sheet import Axis, Heat, Kind, Scale, Sheet, SheetRow, bin_names, block_axis, span
from harness.report.figures.similarity import setting_suffix, setting_words
from harness.report.text import counted
from harness.results.arrays import Array

_SECTION = "Noise level and block"
COMBINED = "combined"
_WAYS: tuple[tuple[Kind, str], ...] = (
    ("linear", "linear"),
    ("log", "on a logarithmic scale"),
    ("linear", "clipped at the 95th percentile"),
)
_PERCENTILE = 95.0
_HEIGHT = 1.75  # inches of one map


@dataclass(frozen=True)
class AngleFigures:
    """How the maps of angular distance are drawn: ``reduction`` over tokens, and the order of the clipped combination.

    The SD3.5-Large study clips each stream's map at its own 95th percentile and then takes the mean of both
    (``clip_first``); by default the mean of both streams is clipped.
    """

    reduction: str = REDUCTIONS[0]
    clip_first: bool = False


def combined(image: Array, text: Array) -> Array:
    """(B, D - 1) mean of both streams; where the text ends a block earlier, over the blocks that have both.

    That is (text + image[:, :-1]) / 2, as the SD3.5-Large layer-wise study does. Raises ValueError for other lengths.
    """
    short = image.shape[-1] - text.shape[-1]
    if short not in (0, 1):
        raise ValueError(f"a text stream of {text.shape[-1]} distances beside an image stream of {image.shape[-1]}")
    return np.asarray((text + image[..., : text.shape[-1]]) / 2, dtype=np.float64)


def angles(
    profile: Profile, name: str, reduction: str = REDUCTIONS[0], *, clip_first: bool = False
) -> dict[str, Array]:
    """By stack: angular distance (B, L) of the ``image`` or ``text`` stream, or of both ``combined``.

    With ``clip_first`` each stream is first clipped at its 95th percentile over all stacks.
    """
    angles = {(s.stack, s.name): s.angles(reduction) for s in profile.streams}
    if clip_first:
        tops = {name: _percentile([table for (_, own), table in angles.items() if own == name]) for _, name in angles}
        angles = {key: np.minimum(table, tops[key[1]]) for key, table in angles.items()}
    stacks = [stack for stack in profile.lengths if (stack, "image") in angles or (stack, "text") in angles]
    if name != COMBINED:
        return {stack: angles[stack, name] for stack in stacks if (stack, name) in angles}
    both = [stack for stack in stacks if (stack, "image") in angles and (stack, "text") in angles]
    return {stack: combined(angles[stack, "image"], angles[stack, "text"]) for stack in both}


def timesteps(
    profile: Profile, name: str, groups: Mapping[str, Sequence[int]], how: AngleFigures = AngleFigures()
) -> Sheet:
    """Three maps, one under the other: linear, log and clipped; the stacks apart from one another in each.

    ``name`` is ``image``, ``text`` or ``combined``. Raises ValueError where the profile has no such stream.
    """
    tables = angles(profile, name, how.reduction)
    if not tables:
        raise ValueError(f"no {name} stream in the profile of {profile.checkpoint}")
    levels = bin_names(profile.edges)
    y = Axis("noise level", tuple(f"noise {n}" for n in levels), levels)
    everything = np.concatenate([table.ravel() for table in tables.values()])
    rows = []
    for number, (kind, words) in enumerate(_WAYS):
        scale = span(everything, "angular distance d", kind, low=None if kind == "log" else 0.0)
        shown, title = tables, words
        if number == 2 and how.clip_first and name == COMBINED:
            shown = angles(profile, name, how.reduction, clip_first=True)
            scale = span(np.concatenate([t.ravel() for t in shown.values()]), scale.label, kind, low=0.0)
            title = "mean of both streams, each clipped at its 95th percentile"
        elif number == 2:
            scale = _clipped(everything, scale)
        rows.append(SheetRow(_side_by_side(shown, y, groups, scale), _HEIGHT, _weights(shown), title))
    which = "text and image combined" if name == COMBINED else f"{name} stream"
    title = f"{profile.checkpoint}: angular distance over each block, {which}"
    token = ", of the last token" if how.reduction == LAST else ""
    note = f"{setting_words(profile)}; d = arccos(cosine) / \u03c0 between what enters and what leaves a block{token}."
    return Sheet(f"timesteps-{name}{setting_suffix(profile)}", _SECTION, title, note + _lines(groups), tuple(rows))


def velocity(velocities: Mapping[str, Velocity], groups: Mapping[str, Sequence[int]]) -> Sheet:
    """The velocity error of skipping one block in one denoising step, mean over prompts, on a log scale."""
    tables = {stack: angles.error.mean(axis=0) for stack, angles in velocities.items()}
    one = next(iter(velocities.values()))
    names = tuple(f"step {i} (noise {level:.2f})" for i, level in enumerate(one.levels))
    y = Axis("denoising step", names, tuple(str(i) for i in range(len(names))), flipped=True)
    scale = span(np.concatenate([t.ravel() for t in tables.values()]), "relative error", "log")
    height = min(4.2, max(1.6, 0.16 * len(names)))
    row = SheetRow(_side_by_side(tables, y, groups, scale), height, _weights(tables))
    title = f"{one.checkpoint}: velocity error of skipping one block in one step"
    note = (
        f"{counted(one.error.shape[0], 'prompt')}, the control's own trajectory, noise {one.levels[0]:.2f} in step 0 "
        f"to {one.levels[-1]:.2f} in step {len(names) - 1}; "
        f"mean of ||v_skip\u00a0-\u00a0v||\u00b2\u00a0/\u00a0||v||\u00b2."
    )
    return Sheet("velocity", _SECTION, title, note + _lines(groups), (row,))


def _side_by_side(
    tables: Mapping[str, Array], y: Axis, groups: Mapping[str, Sequence[int]], scale: Scale
) -> tuple[Heat, ...]:
    word = scale.label.removesuffix(" d")
    x = {stack: block_axis(f"{stack} block", table.shape[1], groups.get(stack, ())) for stack, table in tables.items()}
    return tuple(Heat("", table, x[stack], y, scale, word) for stack, table in tables.items())


def _weights(tables: Mapping[str, Array]) -> tuple[float, ...]:
    return tuple(float(table.shape[1]) for table in tables.values())


def _percentile(tables: Sequence[Array]) -> float:
    """The 95th percentile over all cells that have a value; infinite where none has."""
    values = np.concatenate([table.ravel() for table in tables])
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, _PERCENTILE)) if finite.size else float("inf")


def _clipped(values: Array, scale: Scale) -> Scale:
    high = _percentile([values])
    if not np.isfinite(high):
        return scale
    return Scale(scale.label, scale.low, high, scale.kind, clipped=True) if high > scale.low else scale


def _lines(groups: Mapping[str, Sequence[int]]) -> str:
    return " Lines: borders of groups." if any(len(starts) > 1 for starts in groups.values()) else ""

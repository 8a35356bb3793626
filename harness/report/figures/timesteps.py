"""Noise level x block: angular distance of consecutive states, and the velocity error of skipping a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.analysis.profile import Profile, Velocity
from harness.report.figures.sheet import Axis, Heat, Kind, Scale, Sheet, SheetRow, bin_names, block_axis, span
from harness.report.figures.similarity import setting_suffix, setting_words
from harness.report.text import counted
from harness.results.arrays import Array

_SECTION = "Noise level and block"
COMBINED = "combined"
_WAYS: tuple[tuple[Kind, str], ...] = (
    ("linear", "linear"),
    ("log1p", "colours spaced by log(1 + d)"),
    ("linear", "clipped at the 95th percentile"),
)
_PERCENTILE = 95.0
_HEIGHT = 1.75  # inches of one map


def combined(image: Array, text: Array) -> Array:
    """(B, D - 1) mean of both streams; where the text ends a block earlier, over the blocks that have both.

    That is (text + image[:, :-1]) / 2, as the SD3.5-Large layer-wise study does. Raises ValueError for other lengths.
    """
    short = image.shape[-1] - text.shape[-1]
    if short not in (0, 1):
        raise ValueError(f"a text stream of {text.shape[-1]} distances beside an image stream of {image.shape[-1]}")
    return np.asarray((text + image[..., : text.shape[-1]]) / 2, dtype=np.float64)


def angles(profile: Profile, name: str) -> dict[str, Array]:
    """By stack: angular distance (B, L) of the ``image`` or ``text`` stream, or of both ``combined``."""
    angles = {(s.stack, s.name): s.angular for s in profile.streams}
    stacks = [stack for stack in profile.lengths if (stack, "image") in angles or (stack, "text") in angles]
    if name != COMBINED:
        return {stack: angles[stack, name] for stack in stacks if (stack, name) in angles}
    both = [stack for stack in stacks if (stack, "image") in angles and (stack, "text") in angles]
    return {stack: combined(angles[stack, "image"], angles[stack, "text"]) for stack in both}


def timesteps(profile: Profile, name: str, groups: Mapping[str, Sequence[int]]) -> Sheet:
    """Three maps, one under the other: linear, log and clipped; the stacks apart from one another in each.

    ``name`` is ``image``, ``text`` or ``combined``. Raises ValueError where the profile has no such stream.
    """
    tables = angles(profile, name)
    if not tables:
        raise ValueError(f"no {name} stream in the profile of {profile.checkpoint}")
    levels = bin_names(profile.edges)
    y = Axis("noise level", tuple(f"noise {n}" for n in levels), levels)
    everything = np.concatenate([table.ravel() for table in tables.values()])
    rows = []
    for number, (kind, title) in enumerate(_WAYS):
        scale = span(everything, "angular distance d", kind, low=0.0)
        if number == 2:
            scale = _clipped(everything, scale)
        rows.append(SheetRow(_side_by_side(tables, y, groups, scale), _HEIGHT, _weights(tables), title))
    which = "text and image combined" if name == COMBINED else f"{name} stream"
    title = f"{profile.checkpoint}: angular distance over each block, {which}"
    note = f"{setting_words(profile)}; d = arccos(cosine) / \u03c0 between what enters and what leaves a block."
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


def _clipped(values: Array, scale: Scale) -> Scale:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return scale
    high = float(np.percentile(finite, _PERCENTILE))
    return Scale(scale.label, scale.low, high, scale.kind, clipped=True) if high > scale.low else scale


def _lines(groups: Mapping[str, Sequence[int]]) -> str:
    return " Lines: borders of groups." if any(len(starts) > 1 for starts in groups.values()) else ""

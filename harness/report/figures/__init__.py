"""Figures of layer analysis: a PNG of each, and one interactive page of all, from plain arrays and without torch.

Parts say what a figure shows (:mod:`parts`, and the modules that make sheets of it), the layout where
(:mod:`layout`), and two renderers draw it: :mod:`picture` with matplotlib, :mod:`page` with plotly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.analysis.profile import Profile, Velocity
from harness.files import write_atomically
from harness.report.figures.curves import predictors as predictor_sheet
from harness.report.figures.curves import single_skips as single_skips_sheet
from harness.report.figures.interaction import interaction
from harness.report.figures.sheet import Sheet
from harness.report.figures.similarity import similarity, similarity_bins
from harness.report.figures.timesteps import COMBINED, AngleFigures, timesteps
from harness.report.figures.timesteps import angles as angular_maps
from harness.report.figures.timesteps import velocity as velocity_sheet
from harness.results.arrays import Array
from harness.results.statistics import Interval

PAGE = "figures.html"


def write_all(
    folder: Path,
    checkpoint: str,
    *,
    trajectory: Profile | None = None,
    noised: Profile | None = None,
    velocities: Mapping[str, Velocity] | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    harm: Mapping[str, Array] | None = None,
    drift: Mapping[str, Array] | None = None,
    interactions: Mapping[str, tuple[Array, npt.NDArray[np.bool_]]] | None = None,
    predictors: Mapping[str, Mapping[str, tuple[Array, Interval]]] | None = None,
    bins: bool = False,
    angles: AngleFigures | None = None,
) -> list[Path]:
    """Write each figure as ``<name>.png`` and all of them as ``figures.html``; the paths, the page last.

    Everything is by stack. ``groups`` are the first blocks of a stack's groups; ``harm`` (L, P) in sds and
    ``drift`` (L,) of the latents, where a new seed is 1, are of each block skipped alone; ``interactions`` are the
    tables (L, L) of harm beyond the sum and of pairs beyond the noise; ``predictors`` have for each measure its values
    (L,), NaN for a block without one, and its Spearman correlation with harm. With ``bins`` there is also a PNG of the
    centred similarity in each bin of the noise level, which the page always has behind a slider. ``angles`` says how
    angular distances are drawn (default: of all tokens). What is not given is
    left out; nothing is written where nothing is given.
    Raises HarnessError where a file can't be written, ValueError for tables of other shapes.
    """
    # Imported here: whoever only needs the parts loads no matplotlib.
    from harness.report.figures.html import page
    from harness.report.figures.png import save_png

    profiles = [profile for profile in (trajectory, noised) if profile is not None]
    made = sheets(
        checkpoint,
        profiles=profiles,
        velocities=velocities or {},
        groups=groups or {},
        harm=harm or {},
        drift=drift or {},
        interactions=interactions or {},
        predictors=predictors or {},
        how=angles or AngleFigures(),
    )
    if not made:
        return []
    written = [save_png(sheet, folder) for sheet in made]
    for profile in profiles if bins else ():
        multiples = (similarity_bins(profile, s, (groups or {}).get(s.stack, ())) for s in profile.streams)
        written += [save_png(sheet, folder) for sheet in multiples]
    write_atomically(folder / PAGE, page(f"{checkpoint}: layer analysis", made))
    return [*written, folder / PAGE]


def sheets(
    checkpoint: str,
    *,
    profiles: Sequence[Profile],
    velocities: Mapping[str, Velocity],
    groups: Mapping[str, Sequence[int]],
    harm: Mapping[str, Array],
    drift: Mapping[str, Array],
    interactions: Mapping[str, tuple[Array, npt.NDArray[np.bool_]]],
    predictors: Mapping[str, Mapping[str, tuple[Array, Interval]]],
    how: AngleFigures = AngleFigures(),  # noqa: B008 - frozen
) -> list[Sheet]:
    """The figures of :func:`write_all`, not yet drawn, in the page's order."""
    made: list[Sheet] = []
    for profile in profiles:
        made += [similarity(profile, stream, groups.get(stream.stack, ())) for stream in profile.streams]
    for profile in profiles:
        names = [name for name in ("image", "text", COMBINED) if angular_maps(profile, name)]
        made += [timesteps(profile, name, groups, how) for name in names]
    if velocities:
        made.append(velocity_sheet(velocities, groups))
    if harm or drift:
        made.append(single_skips_sheet(checkpoint, harm, drift, groups))
    for stack, (table, beyond) in interactions.items():
        prompts = harm[stack].shape[1] if stack in harm else None
        made.append(interaction(checkpoint, stack, table, beyond, groups.get(stack, ()), prompts))
    for stack, measures in predictors.items():
        if stack not in harm:
            raise ValueError(f"predictors of stack {stack!r} without its harm")
        made.append(predictor_sheet(checkpoint, stack, measures, harm[stack]))
    return made

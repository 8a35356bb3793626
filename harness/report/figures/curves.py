"""Curves over the blocks: harm and latent drift of skipping each block alone, and measures that should predict harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.report.figures.sheet import Cloud, Dots, Panel, Sheet, SheetRow, block_axis, symlog
from harness.report.text import counted, titled
from harness.results.arrays import Array
from harness.results.statistics import Interval, mean_interval

_SINGLE_SKIPS = "Each block skipped alone"
_PREDICTORS = "Measures against harm"
_LEVEL = 0.95
_ACROSS = 3
_DECADES = 30.0  # a measure that spans more than this factor has a logarithmic axis
_DRIFT = "latent drift (reseed = 1)"


def single_skips(
    checkpoint: str,
    harm: Mapping[str, Array],
    drift: Mapping[str, Array],
    groups: Mapping[str, Sequence[int]],
) -> Sheet:
    """``harm`` (L, P) by stack, in seed-to-seed sds, above latent ``drift`` (L,) by stack, on axes of their own.

    Drift is 1 - cosine of the final latents, as a share of what a new seed of the control gives. Either mapping may be
    empty. Raises ValueError where neither holds a stack.
    """
    rows = []
    if harm:
        rows.append(_harm_row([_harm(stack, table, groups.get(stack, ())) for stack, table in harm.items()]))
    if drift:
        rows.append(_row([_drift(stack, values, groups.get(stack, ())) for stack, values in drift.items()]))
    if not rows:
        raise ValueError("a curve of single skips needs the harm or the drift of at least one stack")
    note = []
    if harm:
        prompts = next(iter(harm.values())).shape[1]
        note.append(
            f"{counted(prompts, 'prompt')}. Harm: mean over prompts in seed-to-seed sds of the control, "
            + ("with its 95 % interval over prompts." if prompts > 1 else "no interval from one prompt.")
        )
    if harm:
        note.append(_scale_note(rows[0].panels))
    if drift:
        note.append(
            "Drift: one minus the cosine of the final latents against the control's, as a share of what a new seed "
            "gives."
        )
    if any(panel.x.cuts for row in rows for panel in row.panels if isinstance(panel, Dots)):
        note.append("Dashed: borders of groups.")
    title = f"{checkpoint}: what skipping one block does"
    return Sheet("vitality", _SINGLE_SKIPS, title, " ".join(note), tuple(rows))


def predictors(checkpoint: str, stack: str, measures: Mapping[str, tuple[Array, Interval]], harm: Array) -> Sheet:
    """A scatter plot for each measure: its value (L,) at each block against mean ``harm`` (L, P) of skipping it.

    With each measure comes its Spearman correlation with harm. Raises ValueError where the lengths differ.
    """
    mean = harm.mean(axis=1)
    blocks = tuple(f"block {i}" for i in range(len(mean)))
    ticks = tuple(map(str, range(len(mean))))
    panels = []
    for name, (values, rho) in measures.items():
        if values.shape != mean.shape:
            raise ValueError(f"{name} of stack {stack!r} has {values.shape[0]} blocks, its harm {len(mean)}")
        title = f"{name}\n{_correlation(rho)}"
        panels.append(Cloud(title, values, mean, ticks, blocks, name, titled("harm"), log_x=_spans_decades(values)))
    rows = tuple(
        SheetRow(tuple(panels[i : i + _ACROSS]), 2.1, (1.0,) * min(_ACROSS, len(panels)))
        for i in range(0, len(panels), _ACROSS)
    )
    note = (
        f"{counted(harm.shape[1], 'prompt')}; a point is one block skipped alone. "
        "\u03c1: Spearman correlation with its 95 % interval."
    )
    title = f"{checkpoint}: measures against harm, {stack} stack"
    return Sheet(f"predictors-{stack}", _PREDICTORS, title, note, rows)


def _correlation(rho: Interval) -> str:
    ends = f" [{rho.low:.2f}, {rho.high:.2f}]" if np.isfinite([rho.low, rho.high]).all() else ""
    return f"\u03c1 = {rho.value:.2f}{ends}"


def _spans_decades(values: Array) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > _DECADES * finite.min())


def _scale_note(panels: Sequence[Panel]) -> str:
    """How the axis of a row of harms is to be read."""
    scale = next(panel.scale for panel in panels if isinstance(panel, Dots) and panel.scale is not None)
    return f"The axis is linear up to \u00b1{scale.linear:g} and logarithmic beyond."


def skipped_blocks(
    name: str, title: str, harm: Mapping[str, tuple[Array, Array, Array]], y_title: str, note: str
) -> Sheet:
    """Harm of skipping each block alone, a panel for each stack, on one axis that is logarithmic beyond the noise.

    ``harm`` has for each stack the values and the ends of their intervals, each (L,), NaN for a block that was not
    skipped. Raises ValueError without a stack.
    """
    if not harm:
        raise ValueError("a figure of skipped blocks needs at least one stack")
    row = _harm_row([_intervals(stack, values, y_title, ()) for stack, values in harm.items()])
    return Sheet(name, _SINGLE_SKIPS, title, f"{note} {_scale_note(row.panels)}", (row,))


def _harm_row(panels: Sequence[Dots]) -> SheetRow:
    """One symlog axis for all stacks, so that they can be compared and small harms be read beside large ones."""
    values = np.concatenate([panel.values for panel in panels])
    low = np.concatenate([panel.values if panel.low is None else panel.low for panel in panels])
    high = np.concatenate([panel.values if panel.high is None else panel.high for panel in panels])
    scale = symlog(values, low, high)
    ends = [panel.reach for panel in panels]
    reach = scale.widened(min(low for low, _ in ends), max(high for _, high in ends) or scale.linear, 0.06)
    same = tuple(replace(panel, reach=reach, scale=scale) for panel in panels)
    return SheetRow(same, 2.1, tuple(float(len(panel.values)) for panel in panels))


def _row(panels: list[Dots]) -> SheetRow:
    """One reach for all stacks, so that they can be compared."""
    ends = [panel.reach for panel in panels]
    reach = (min(low for low, _ in ends), max(high for _, high in ends))
    room = 0.06 * ((reach[1] - reach[0]) or 1.0)
    reach = (reach[0] - room if reach[0] < 0 else 0.0, reach[1] + room)
    same = tuple(replace(panel, reach=reach) for panel in panels)
    return SheetRow(same, 2.1, tuple(float(len(panel.values)) for panel in panels))


def _harm(stack: str, table: Array, starts: Sequence[int]) -> Dots:
    intervals = [mean_interval(row, _LEVEL) for row in table]
    value, low, high = (np.array([getattr(one, end) for one in intervals]) for end in ("value", "low", "high"))
    return _intervals(stack, (value, low, high), titled("harm"), starts)


def _intervals(stack: str, harm: tuple[Array, Array, Array], y_title: str, starts: Sequence[int]) -> Dots:
    """A stack's panel; ``harm`` are values and the ends of their intervals."""
    value, low, high = harm
    axis = block_axis(f"{stack} block", len(value), starts)
    return Dots("", value, axis, y_title, _reach(np.concatenate(harm)), "harm", low, high)


def _drift(stack: str, values: Array, starts: Sequence[int]) -> Dots:
    axis = block_axis(f"{stack} block", len(values), starts)
    return Dots("", values, axis, _DRIFT, _reach(values), "drift", bars=True)


def _reach(values: Array) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (min(0.0, float(finite.min(initial=0.0))), max(0.0, float(finite.max(initial=0.0))))

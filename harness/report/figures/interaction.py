"""Pairs of blocks skipped together: how far their harm is from the sum of their harms."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from harness.report.figures.sheet import Axis, Heat, Sheet, SheetRow, block_axis, span
from harness.results.arrays import Array

_SECTION = "Interaction of pairs"


def interaction(
    checkpoint: str,
    stack: str,
    table: Array,
    beyond: npt.NDArray[np.bool_],
    starts: Sequence[int] = (),
    prompts: int | None = None,
) -> Sheet:
    """``table`` (L, L): harm(A and B) - harm(A) - harm(B) in sds, NaN where not measured, symmetric or half.

    ``beyond`` (L, L) marks the pairs off by more than the noise. Raises ValueError for tables that aren't square
    or not of one shape.
    """
    if table.ndim != 2 or table.shape[0] != table.shape[1] or table.shape != beyond.shape:
        raise ValueError(f"an interaction needs two square tables, got {table.shape} and {beyond.shape}")
    x = block_axis(f"{stack} block", len(table), starts)
    y = Axis(x.title, x.names, x.ticks, x.cuts, flipped=True)
    scale = span(table, "interaction (sd)", "diverging")
    marked = beyond & np.isfinite(table)
    measured = np.isfinite(table) | np.isfinite(table.T)
    pairs = np.triu(np.ones_like(marked), k=1)
    off, of = int((pairs & (marked | marked.T)).sum()), int((pairs & measured).sum())
    count = "" if prompts is None else f"{prompts} prompts; "
    note = (
        f"{count}harm of skipping both blocks less the harms of skipping each alone: red, worse together than the sum. "
        f"Dots: off by more than the noise, {off} of {of} pairs."
    )
    title = f"{checkpoint}: interaction of pairs of blocks, {stack} stack"
    panel = Heat("", table, x, y, scale, "interaction", marked)
    return Sheet(f"interaction-{stack}", _SECTION, title, note, (SheetRow((panel,)),))

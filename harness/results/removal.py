"""Which variants leave out blocks, so that they save time, and which of these answer the question what can go."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.ablation.case import BY_HAND
from harness.ablation.modifier import no_change
from harness.ablation.modifier_table import MODIFIERS
from harness.ablation.modifiers import WORD as MODIFIER
from harness.ablation.plan import parse
from harness.ablation.steps import split
from harness.errors import PlanError
from harness.results.ranking_row import Row

_SKIP = "skip"
_SKIPS = (_SKIP, "skip-attn", "skip-ff")  # a stream's block runs whole


def leaves_out_blocks(row: Row) -> bool:
    """Whether a variant runs fewer blocks than the model, or a part of them.

    A plan by hand that was not timed does where it runs fewer than up to its last one; that it leaves out the last
    blocks alone is not seen, as records don't hold how many there are.
    """
    if row.latency is not None:
        return row.latency.theory > 1
    if MODIFIER in row.words:
        return any(name in MODIFIERS and MODIFIERS[name].cost is not no_change for name in row.words)
    return split(row.strategy)[0] in _SKIPS or (BY_HAND in row.words and _has_gaps(row.plan))


def _has_gaps(plan: str) -> bool:
    try:
        parsed = parse(plan)
    except PlanError:  # of a foreign journal
        return False
    return parsed.work <= max(parsed.blocks(), default=-1)


def single_block(row: Row) -> int | None:
    """The block that the variant skips in all denoising steps, where that is all it does."""
    count = _skipped(row)
    return int(row.place[1:]) if count == 1 and row.strategy == _SKIP else None


def what_can_go(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The Pareto front, and for each stack and each number of skipped blocks the least harmful skip.

    ``rows`` are ordered by harm, and so is what is returned.
    """
    best: dict[tuple[str, str, int], Row] = {}
    for row in rows:
        count = _skipped(row)
        if count is not None:
            best.setdefault((row.stack, row.strategy, count), row)
    chosen = {row.case for row in (*best.values(), *(row for row in rows if row.pareto))}
    return tuple(row for row in rows if row.case in chosen)


def _skipped(row: Row) -> int | None:
    """How many blocks a skip of a range leaves out; None for every other variant."""
    place = re.fullmatch(r"L(\d{1,3})(?:-(\d{1,3}))?", row.place, flags=re.ASCII)
    if place is None or split(row.strategy)[0] != _SKIP:
        return None
    first, last = int(place[1]), int(place[2] or place[1])
    return last - first + 1 if last >= first else None

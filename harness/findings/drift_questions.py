"""Questions about layout and detail in the claims' own words: loses details, carries layout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from harness.ablation.ranges import Span, spans
from harness.analysis.segmentation import group
from harness.findings.definitions import LOST
from harness.findings.harm_questions import Variant
from harness.findings.intervals import over_prompts
from harness.findings.questions import Direction, Question

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.results.arrays import Array

_RESEEDS = "reseeds"


def loses_details(study: Study, variant: Variant) -> Question:
    """Detail drifts more than layout, each in units of its own distance between two seeds."""
    drift = study.image_drift(variant.plan(study), variant.stack)
    evidence = over_prompts(drift.detail - drift.layout)
    return Question(f"drift of detail - layout under {variant}", evidence, Direction.MORE, 0.0, _RESEEDS)


def loses_all_details(study: Study, variant: Variant) -> Question:
    """Detail is at least as far from the control's as another seed's is."""
    detail = study.image_drift(variant.plan(study), variant.stack).detail
    return Question(f"drift of detail under {variant}", over_prompts(detail), Direction.AT_LEAST, LOST, _RESEEDS)


def layout_falls(study: Study, stack: str, early: Iterable[int], late: Iterable[int]) -> Question:
    """Over skips of one block, layout's share of the drift is larger for the ``early`` blocks than for the ``late``."""
    evidence = over_prompts(_layout_share(study, stack, early) - _layout_share(study, stack, late))
    what = f"layout's share of drift, early - late {stack} skips"
    return Question(what, evidence, Direction.MORE, 0.0, "of the drift")


def _layout_share(study: Study, stack: str, blocks: Iterable[int]) -> Array:
    """(P,) mean over skips of single blocks."""
    plans = [Variant(stack, Span(block, block), "skip").plan(study) for block in blocks]
    shares = [study.image_drift(plan, stack).layout_share for plan in plans]
    return np.asarray(np.mean(shares, axis=0), dtype=np.float64)


def middle_groupings(study: Study, stack: str) -> tuple[Span, Span]:
    """The first and the last of a stack's middle groups, where its similarities fall into four groups or more.

    Elsewhere the halves of its middle by depth, of two blocks or more.
    """
    grouping = group(study.trajectory.stream(stack, "image"))
    if grouping.structure and len(grouping.starts) > 3:
        return Span(*grouping.spans[1]), Span(*grouping.spans[-2])
    ((middle, _),) = spans("middle", study.stacks[stack], stack)
    return Span(middle.first, middle.centre), Span(middle.centre + 1, middle.last)

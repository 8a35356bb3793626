"""B1 to B10: claims of the blog that carried layers-as-painters over to DiTs, read off pictures of five prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.ablation.ranges import Span
from harness.findings.blog_grouping import SIMILARITY
from harness.findings.claim import BLOG_SOURCE, Claim, claim
from harness.findings.harm_questions import (
    Variant,
    ablated,
    catastrophic,
    groups,
    less_harm,
    looped,
    mild,
    not_catastrophic,
    recovers,
    rivals,
)
from harness.findings.intervals import over_prompts
from harness.findings.questions import Direction, Either, Question, any_of

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.results.arrays import Array

_ALL = ("flux", "sd3", "auraflow")
_SPLIT, _SPLIT_OF = 14, 24  # where the blog sees SD3-medium's blocks part


def _no_groups(study: Study) -> str:
    return "" if any(groups(study)) else f"no middle of {study.name} has two blocks to rearrange"


def _small_middle(study: Study) -> str:
    small = [stack for stack in study.stacks if stack not in {name for name, _ in groups(study)}]
    return f"the middle of stack {small[0]!r} is one block, with nothing to rearrange" if small else ""


@claim(
    "B2",
    "skipping part of a middle group is the least harmful strategy",
    source=BLOG_SOURCE,
    families=_ALL,
    why_not=_no_groups,
)
def least_harmful(study: Study) -> Sequence[Question]:
    """On the middle of each stack and on its halves, every other strategy has surely more harm than skip."""
    return [
        less_harm(study, Variant(stack, span, "skip"), rival)
        for stack, span in groups(study)
        for rival in rivals(study, stack, span, "skip")
    ]


@claim(
    "B3",
    "repeating one layer of a group is the worst, removal of translation layers aside",
    source=BLOG_SOURCE,
    families=_ALL,
    why_not=_no_groups,
)
def repeating_is_worst(study: Study) -> Sequence[Question]:
    """On the middle of each stack and on its halves, every other strategy has surely less harm than repeat."""
    return [
        less_harm(study, rival, Variant(stack, span, "repeat"))
        for stack, span in groups(study)
        for rival in rivals(study, stack, span, "repeat")
    ]


@claim(
    "B4",
    "skipping double 0 is not catastrophic in FLUX, and catastrophic in SD3 and AuraFlow",
    source=BLOG_SOURCE,
    families=_ALL,
)
def first_block(study: Study) -> Sequence[Question]:
    """The harm of skipping block 0 of the double stack (SD3's joint one) against the line of catastrophe."""
    variant = ablated(study, next(iter(study.stacks)), "0", "skip")
    return [not_catastrophic(study, variant) if study.family == "flux" else catastrophic(study, variant)]


@claim(
    "B5",
    "skipping middle double blocks loses details and keeps concepts; early single blocks carry layout, later "
    "ones detail",
    source=BLOG_SOURCE,
    families=("flux",),
    why_not=_small_middle,
)
def details_and_layout(study: Study) -> Sequence[Question]:
    """Skipping double's middle is mild, and detail drifts more than layout, each in units of its reseed.

    Over single-block skips of the single stack, the share of the drift that is layout is larger in the first half of
    the stack than in the second.
    """
    middle = ablated(study, "double", "middle", "skip")
    drift = study.image_drift(middle.plan(study), "double")
    half = study.stacks["single"] // 2
    early = _layout_share(study, range(half))
    late = _layout_share(study, range(study.stacks["single"] - half, study.stacks["single"]))
    detail = over_prompts(drift.detail - drift.layout)
    falls = over_prompts(early - late)
    return [
        mild(study, middle),
        Question(f"drift of detail - layout under {middle}", detail, Direction.MORE, 0.0, "reseeds"),
        Question("layout's share of drift, early - late single skips", falls, Direction.MORE, 0.0, "of the drift"),
    ]


def _layout_share(study: Study, blocks: range) -> Array:
    """(P,) mean over skips of single blocks."""
    plans = [Variant("single", Span(block, block), "skip").plan(study) for block in blocks]
    return np.asarray(
        np.mean([study.image_drift(plan, "single").layout_share for plan in plans], axis=0), dtype=np.float64
    )


@claim(
    "B6",
    "reversing double keeps some concepts, reversing single is catastrophic",
    source=BLOG_SOURCE,
    families=("flux",),
    why_not=_small_middle,
)
def reversing(study: Study) -> Sequence[Question]:
    """The middle reversed: not catastrophic in the double stack, catastrophic in the single one."""
    double, single = (ablated(study, stack, "middle", "reverse") for stack in ("double", "single"))
    return [not_catastrophic(study, double), catastrophic(study, single)]


@claim("B7", "parallel over the middle is catastrophic", source=BLOG_SOURCE, families=("flux",), why_not=_small_middle)
def parallel_middle(study: Study) -> Sequence[Question]:
    """The middle in parallel: catastrophic in the double stack and in the single one."""
    return [catastrophic(study, ablated(study, stack, "middle", "parallel")) for stack in ("double", "single")]


@claim(
    "B8",
    "looped parallel recovers the double stack to a large extent, and is catastrophic for single",
    source=BLOG_SOURCE,
    families=("flux",),
    why_not=_small_middle,
)
def looped_parallel(study: Study) -> Sequence[Either[Question]]:
    """Over double's middle it leaves at most half of parallel's harm, and over single's middle it is catastrophic.

    Both with three loops, or both with as many loops as the range has blocks.
    """
    once = ablated(study, "double", "middle", "parallel")
    double, single = (looped(study, stack, "middle") for stack in ("double", "single"))
    # Stacks whose middle has three blocks have one number of loops for both ways.
    double, single = (both * (2 // len(both)) for both in (double, single))
    return [any_of(*([recovers(study, d, once), catastrophic(study, s)] for d, s in zip(double, single, strict=True)))]


def _another_depth(study: Study) -> str:
    length = study.stacks["joint"]
    return "" if length == _SPLIT_OF else f"block {_SPLIT} of {_SPLIT_OF} has no counterpart in {length} blocks"


def _same_depth(study: Study) -> str:
    if study.stacks["joint"] == _SPLIT_OF:
        return "this model has the very blocks of B9"
    return "" if len(_sides(study)[0]) > 1 else f"{study.stacks['joint']} blocks are too few on either side of a split"


def _sides(study: Study) -> tuple[Span, Span]:
    """As many blocks below the split as above, where the last one, a translation layer, is left out."""
    length = study.stacks["joint"]
    at = length * _SPLIT // _SPLIT_OF
    width = max(1, min(at - 1, length - 1 - at))
    return Span(max(0, at - width), max(0, at - 1)), Span(at, at + width - 1)


def _split(study: Study) -> Sequence[Question]:
    below, above = _sides(study)
    out: list[Question] = []
    for strategy in ("repeat", "parallel"):
        low, high = Variant("joint", below, strategy), Variant("joint", above, strategy)
        out += [catastrophic(study, low), less_harm(study, high, low)]
    return out


@claim(
    "B9",
    "SD3 splits at 14: repeat and parallel below are catastrophic, above less so",
    source=BLOG_SOURCE,
    families=("sd3",),
    why_not=_another_depth,
)
def split(study: Study) -> Sequence[Question]:
    """Repeat and parallel over blocks 5-13 are catastrophic, and each has surely less harm over blocks 14-22."""
    return _split(study)


@claim(
    "B9-depth",
    "B9 carried over by depth: repeat and parallel below 14/24 of the stack are catastrophic, above less so",
    source=f"B9, by depth; not the blog's own ({BLOG_SOURCE})",
    families=("sd3",),
    why_not=_same_depth,
)
def split_by_depth(study: Study) -> Sequence[Question]:
    """As B9, split at 14/24 of the model's own blocks (7 of 12: blocks 3-6 against 7-10)."""
    return _split(study)


@claim(
    "B10",
    "skipping the first or last single block hurts less than a middle one; looped parallel over single blocks is "
    "slight if not all are used",
    source=BLOG_SOURCE,
    families=("auraflow",),
    why_not=_small_middle,
)
def ends_of_single(study: Study) -> Sequence[Question | Either[Question]]:
    """Skipping the first, and skipping the last, has surely less harm than the mean over skips of each middle block.

    Looped parallel over the middle, with three loops or with as many as it has blocks, is mild.
    """
    last = str(study.stacks["single"] - 1)
    middle = ablated(study, "single", "middle", "skip").span
    harms = [Variant("single", Span(block, block), "skip").harm(study) for block in middle.blocks]
    mean = np.mean(harms, axis=0)
    questions = [
        Question(
            f"mean harm of skipping one of single {middle} - {end}",
            over_prompts(mean - end.harm(study)),
            Direction.MORE,
            0.0,
            "sd",
        )
        for end in (ablated(study, "single", where, "skip") for where in ("0", last))
    ]
    return [*questions, any_of(*(mild(study, variant) for variant in looped(study, "single", "middle")))]


BLOG: tuple[Claim, ...] = (
    *SIMILARITY,
    least_harmful,
    repeating_is_worst,
    first_block,
    details_and_layout,
    reversing,
    parallel_middle,
    looped_parallel,
    split,
    split_by_depth,
    ends_of_single,
)

"""Claims of the blog that carried layers-as-painters over to DiTs, read off pictures of five prompts.

B2 to B10 are here, B1 is in blog_grouping, what the blog says of single parts of one family (B11 to B19) in
blog_details.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.ablation.ranges import Span
from harness.findings.blog_details import DETAILS, another_depth, same_depth, small_middle, split_by
from harness.findings.blog_grouping import SIMILARITY
from harness.findings.claim import BLOG_SOURCE, Claim, claim
from harness.findings.drift_questions import layout_falls, loses_all_details, loses_details, middle_groupings
from harness.findings.harm_questions import (
    BLOG_STRATEGIES,
    Variant,
    ablated,
    catastrophic,
    each_block,
    each_half,
    groups,
    less_harm,
    looped,
    middles,
    mild,
    not_catastrophic,
    recovers,
    rivals,
)
from harness.findings.intervals import over_prompts
from harness.findings.questions import Direction, Either, Question, any_of

if TYPE_CHECKING:
    from harness.analysis.study import Study

_ALL = ("flux", "sd3", "auraflow")


def _no_groups(study: Study) -> str:
    return "" if any(groups(study)) else f"no middle of {study.name} has two blocks to rearrange"


@claim(
    "B2",
    "skipping some layers of a middle group is less harmful than the other methods",
    source=BLOG_SOURCE,
    families=_ALL,
    why_not=_no_groups,
)
def skipping_some(study: Study) -> Sequence[Either[Question]]:
    """On the middle of each stack, the blog's other strategies have surely more harm than skipping some of its blocks.

    The others are repeat, reverse, parallel and looped parallel (three loops), each on the whole middle. Some is one
    block (the mean over skipping each), or half of the middle (the mean over skipping each half): all comparisons have
    to hold for one of the two.
    """
    return [
        any_of(
            *(
                [
                    less_harm(study, some(stack, span), rival)
                    for stack, span in middles(study)
                    for rival in rivals(study, stack, span, "skip", BLOG_STRATEGIES)
                ]
                for some in (each_block, each_half)
            )
        )
    ]


@claim(
    "B2-whole",
    "skipping the whole of a middle group is the least harmful strategy",
    source=f"a wider question than B2's; not the blog's own ({BLOG_SOURCE})",
    families=_ALL,
    why_not=_no_groups,
)
def least_harmful(study: Study) -> Sequence[Question]:
    """On the middle of each stack and on its halves, every other strategy has surely more harm than skip.

    Some of them (swap, summed updates) hardly change a residual network, so a skip of many blocks can't be expected to
    have less harm.
    """
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
    why_not=small_middle,
)
def details_and_layout(study: Study) -> Sequence[Question]:
    """Skipping double's middle is not catastrophic, and detail drifts more than layout, each in units of its reseed.

    Over single-block skips of the single stack, the share of the drift that is layout is larger in the first middle
    grouping than in the last.
    """
    middle = ablated(study, "double", "middle", "skip")
    first, last = middle_groupings(study, "single")
    return [
        not_catastrophic(study, middle),
        loses_details(study, middle),
        layout_falls(study, "single", first.blocks, last.blocks),
    ]


@claim(
    "B5-strict",
    "skipping middle double blocks is mild and loses details; the first half of the single blocks carries layout, the "
    "second detail",
    source=f"stricter than B5; not the blog's own ({BLOG_SOURCE})",
    families=("flux",),
    why_not=small_middle,
)
def mild_and_halves(study: Study) -> Sequence[Question]:
    """Skipping double's middle is mild, and detail drifts more than layout, each in units of its reseed.

    Over single-block skips of the single stack, the share of the drift that is layout is larger in the first half of
    the stack than in the second.
    """
    middle = ablated(study, "double", "middle", "skip")
    length = study.stacks["single"]
    half = length // 2
    return [
        mild(study, middle),
        loses_details(study, middle),
        layout_falls(study, "single", range(half), range(length - half, length)),
    ]


@claim(
    "B6",
    "reversing double keeps some concepts but loses the details completely, reversing single is catastrophic",
    source=BLOG_SOURCE,
    families=("flux",),
    why_not=small_middle,
)
def reversing(study: Study) -> Sequence[Question]:
    """The middle reversed: not catastrophic in the double stack, where the drift of the detail is at least a reseed's.

    Catastrophic in the single one.
    """
    double, single = (ablated(study, stack, "middle", "reverse") for stack in ("double", "single"))
    return [not_catastrophic(study, double), loses_all_details(study, double), catastrophic(study, single)]


@claim("B7", "parallel over the middle is catastrophic", source=BLOG_SOURCE, families=("flux",), why_not=small_middle)
def parallel_middle(study: Study) -> Sequence[Question]:
    """The middle in parallel: catastrophic in the double stack and in the single one."""
    return [catastrophic(study, ablated(study, stack, "middle", "parallel")) for stack in ("double", "single")]


@claim(
    "B8",
    "looped parallel recovers the double stack to a large extent, and is catastrophic for single",
    source=BLOG_SOURCE,
    families=("flux",),
    why_not=small_middle,
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


def _split(study: Study) -> Sequence[Question]:
    below, above = split_by(study)
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
    why_not=another_depth,
)
def split(study: Study) -> Sequence[Question]:
    """Repeat and parallel over blocks 5-13 are catastrophic, and each has surely less harm over blocks 14-22."""
    return _split(study)


@claim(
    "B9-depth",
    "B9 carried over by depth: repeat and parallel below 14/24 of the stack are catastrophic, above less so",
    source=f"B9, by depth; not the blog's own ({BLOG_SOURCE})",
    families=("sd3",),
    why_not=same_depth,
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
    why_not=small_middle,
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
    skipping_some,
    least_harmful,
    repeating_is_worst,
    first_block,
    details_and_layout,
    mild_and_halves,
    reversing,
    parallel_middle,
    looped_parallel,
    split,
    split_by_depth,
    ends_of_single,
    *DETAILS,
)

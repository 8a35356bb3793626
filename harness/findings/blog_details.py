"""B11 to B19: what the blog says of single parts of one family, in its pages' order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.ablation.ranges import Span, spans
from harness.findings.claim import BLOG_SOURCE, Claim, claim
from harness.findings.drift_questions import layout_falls, loses_details
from harness.findings.harm_questions import (
    Variant,
    ablated,
    catastrophic,
    degrades,
    less_harm,
    looped,
    middles,
    not_catastrophic,
)
from harness.findings.intervals import over_prompts
from harness.findings.questions import Direction, Either, Question, any_of

if TYPE_CHECKING:
    from harness.analysis.study import Study

_ALL = ("flux", "sd3", "auraflow")
_SPLIT, _SPLIT_OF = 14, 24  # where the blog sees SD3-medium's blocks part


def small_middle(study: Study) -> str:
    """Why a claim about the middle of every stack has no counterpart; empty where it has."""
    rearranged = {stack for stack, _ in middles(study)}
    small = [stack for stack in study.stacks if stack not in rearranged]
    return f"the middle of stack {small[0]!r} is one block, with nothing to rearrange" if small else ""


def _nothing_before(study: Study) -> str:
    before = any(spans("first", length, stack) for stack, length in study.stacks.items())
    return "" if before else f"no stack of {study.name} has blocks before its middle"


@claim(
    "B11",
    "the layers before a group are translation layers: removing them is catastrophic",
    source=BLOG_SOURCE,
    families=_ALL,
    why_not=_nothing_before,
)
def translation_layers(study: Study) -> Sequence[Question]:
    """Skipping all blocks before the middle is catastrophic, in each stack."""
    first = [(stack, span) for stack, length in study.stacks.items() for span, _ in spans("first", length, stack)]
    return [catastrophic(study, Variant(stack, span, "skip")) for stack, span in first]


@claim(
    "B12",
    "FLUX's last double block carries the representation over into the single blocks: skipping it is catastrophic",
    source=BLOG_SOURCE,
    families=("flux",),
)
def last_double(study: Study) -> Sequence[Question]:
    """Skipping the last double block is catastrophic, and has surely more harm than skipping any other double block."""
    last = study.stacks["double"] - 1
    skipped = [Variant("double", Span(block, block), "skip") for block in range(last + 1)]
    return [catastrophic(study, skipped[last]), *(less_harm(study, other, skipped[last]) for other in skipped[:last])]


def _no_count(study: Study) -> str:
    if not spans("first", study.stacks["single"], "single"):
        return f"no single block of {study.name} is before the middle"
    return "" if study.counts_objects else f"nothing counts the objects in images of {study.name}"


@claim(
    "B13",
    "skipping FLUX's single blocks before the middle duplicates subjects and loses details",
    source=BLOG_SOURCE,
    families=("flux",),
    why_not=_no_count,
)
def duplicated_subjects(study: Study) -> Sequence[Question]:
    """Its images have surely more objects than the control's, and detail drifts more than layout."""
    skipped = ablated(study, "single", "first", "skip")
    extra = study.extra_objects(skipped.plan(study), "single")
    assert extra is not None  # as _no_count asks for
    more = Question(f"objects under {skipped} - control", over_prompts(extra), Direction.MORE, 0.0, "objects")
    return [more, loses_details(study, skipped)]


def another_depth(study: Study) -> str:
    """Why a claim about block 14 of 24 has no counterpart; empty where it has."""
    length = study.stacks["joint"]
    return "" if length == _SPLIT_OF else f"block {_SPLIT} of {_SPLIT_OF} has no counterpart in {length} blocks"


def same_depth(study: Study) -> str:
    """Why a claim about block 14 of 24, carried over by depth, has no counterpart of its own; empty where it has."""
    if study.stacks["joint"] == _SPLIT_OF:
        return "this model has the very blocks that the blog names"
    few = f"{study.stacks['joint']} blocks are too few on either side of a split"
    return "" if len(split_by(study)[0]) > 1 else few


def split_by(study: Study) -> tuple[Span, Span]:
    """As many blocks below the split as above, where the last one, a translation layer, is left out."""
    length = study.stacks["joint"]
    at = length * _SPLIT // _SPLIT_OF
    width = max(1, min(at - 1, length - 1 - at))
    return Span(max(0, at - width), max(0, at - 1)), Span(at, at + width - 1)


def _layout_split(study: Study) -> Sequence[Question]:
    below, above = split_by(study)
    return [layout_falls(study, "joint", below.blocks, above.blocks)]


@claim(
    "B14",
    "SD3's blocks below 14 carry layout, those above carry detail",
    source=BLOG_SOURCE,
    families=("sd3",),
    why_not=another_depth,
)
def layout_split(study: Study) -> Sequence[Question]:
    """Over single-block skips, the share of the drift that is layout is larger for blocks 5-13 than for 14-22."""
    return _layout_split(study)


@claim(
    "B14-depth",
    "B14 carried over by depth: blocks below 14/24 of the stack carry layout, those above carry detail",
    source=f"B14, by depth; not the blog's own ({BLOG_SOURCE})",
    families=("sd3",),
    why_not=same_depth,
)
def layout_split_by_depth(study: Study) -> Sequence[Question]:
    """As B14, split at 14/24 of the model's own blocks (7 of 12: blocks 3-6 against 7-10)."""
    return _layout_split(study)


@claim(
    "B15",
    "skipping AuraFlow's middle double blocks degrades the image but keeps adherence; skipping the last is a bit worse",
    source=BLOG_SOURCE,
    families=("auraflow",),
    why_not=small_middle,
)
def middle_and_last_double(study: Study) -> Sequence[Question]:
    """Skipping double's middle degrades; skipping its last blocks has surely more harm, and is not catastrophic."""
    middle, last = (ablated(study, "double", where, "skip") for where in ("middle", "last"))
    return [*degrades(study, middle), less_harm(study, middle, last), not_catastrophic(study, last)]


@claim(
    "B16",
    "repeating AuraFlow's double blocks is catastrophic, repeating a few single blocks isn't",
    source=BLOG_SOURCE,
    families=("auraflow",),
    why_not=small_middle,
)
def repeating_double(study: Study) -> Sequence[Question]:
    """Repeat over double's middle is catastrophic; over each half of single's middle it is not."""
    double = ablated(study, "double", "middle", "repeat")
    middle = ablated(study, "single", "middle", "repeat").span
    few = [Span(middle.first, middle.centre), Span(middle.centre + 1, middle.last)]
    singles = [Variant("single", span, "repeat") for span in few if len(span) > 1]
    return [catastrophic(study, double), *(not_catastrophic(study, single) for single in singles)]


@claim(
    "B17",
    "reversing AuraFlow's double blocks gives artefacts",
    source=BLOG_SOURCE,
    families=("auraflow",),
    why_not=small_middle,
)
def reversing_double(study: Study) -> Sequence[Question]:
    """Reverse over double's middle degrades."""
    return degrades(study, ablated(study, "double", "middle", "reverse"))


@claim(
    "B18",
    "reversing AuraFlow's single blocks makes images look unnatural",
    source=BLOG_SOURCE,
    families=("auraflow",),
    why_not=small_middle,
)
def reversing_single(study: Study) -> Sequence[Question]:
    """Reverse over single's middle degrades."""
    return degrades(study, ablated(study, "single", "middle", "reverse"))


@claim(
    "B19",
    "looped parallel over AuraFlow's double blocks gives artefacts",
    source=BLOG_SOURCE,
    families=("auraflow",),
    why_not=small_middle,
)
def looping_double(study: Study) -> Sequence[Either[Question]]:
    """Looped parallel over double's middle, with three loops or with as many as it has blocks, degrades."""
    return [any_of(*(degrades(study, variant) for variant in looped(study, "double", "middle")))]


DETAILS: tuple[Claim, ...] = (
    translation_layers,
    last_double,
    duplicated_subjects,
    layout_split,
    layout_split_by_depth,
    middle_and_last_double,
    repeating_double,
    reversing_double,
    reversing_single,
    looping_double,
)

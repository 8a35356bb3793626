"""D1 to D7 without D5: what those who prune diffusion transformers say of single blocks and of sets of them.

Their models were mostly trained on after blocks were removed; here nothing is. A claim that names blocks of
one model has a second form with ``-depth`` in its id, carried over by depth to models of another length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import TYPE_CHECKING

from harness.ablation.ranges import Span
from harness.findings.claim import Claim, claim
from harness.findings.definitions import MILD
from harness.findings.harm_questions import (
    MeanOf,
    SkippedSet,
    Variant,
    catastrophic,
    degrades,
    less_harm,
    middles,
    mild,
    of_scale,
)
from harness.findings.intervals import over_prompts
from harness.findings.questions import Direction, Either, Question, any_of

if TYPE_CHECKING:
    from harness.analysis.study import Study

_ALL = ("flux", "sd3", "auraflow")
_SETS_SOURCE = (
    "FluxKits' distill.yaml (double blocks 0, 1, 2, 10, 18 kept), a reading of flux.1-lite-8B (5-15 removed), and the "
    "vital blocks of Stable Flow (0, 1, 17, 18)"
)
_PPCL_SOURCE = "PPCL, arXiv 2511.16156 (Qwen-Image, 60 blocks)"
_SLG_SOURCE = "Stability AI's skip-layer guidance for SD3.5, with diffusers issues 10102 and 10455"

_KEPT, _REMOVED, _OF = (0, 1, 18), (*range(5, 10), *range(11, 16)), 19  # of FLUX.1-dev's double blocks
_GUIDANCE_LAYERS, _MEDIUM, _LARGE = (7, 9), 24, 38  # SD3.5's
_MOST = 6  # places of a stack that are compared, spread evenly where there are more
_DRAWN = 4  # random sets of each size
_SIZES = (1, 2, 3)  # of the random sets


def _singles(stack: str, blocks: Sequence[int]) -> MeanOf:
    """Skipping one of some blocks, the mean over them."""
    named = " ".join(map(str, blocks))
    return MeanOf(f"skip one of {stack} {named}", tuple(Variant(stack, Span(b, b), "skip") for b in blocks))


def _other_length(study: Study) -> str:
    length = study.stacks["double"]
    return "" if length == _OF else f"the blocks are those of {_OF} double ones; {study.name} has {length}"


def _same_length(study: Study) -> str:
    return "this model has the very blocks that were published" if study.stacks["double"] == _OF else ""


def _at_depth(blocks: Sequence[int], of: int, length: int) -> tuple[int, ...]:
    """Blocks of a stack of ``of`` carried over to one of ``length``: the first to the first, the last to the last."""
    return tuple(dict.fromkeys((block * (length - 1) + (of - 1) // 2) // (of - 1) for block in blocks))


def _kept_against_removed(study: Study, kept: Sequence[int], removed: Sequence[int]) -> Sequence[Question]:
    return [less_harm(study, _singles("double", removed), _singles("double", kept))]


@claim(
    "D1",
    "the double blocks of FLUX.1-dev that all published prunings keep matter more than those that they remove",
    source=_SETS_SOURCE,
    families=("flux",),
    why_not=_other_length,
)
def published_sets(study: Study) -> Sequence[Question]:
    """Skipping one of double 0, 1, 18 (the mean over them) has surely more harm than skipping one of 5-9 and 11-15."""
    return _kept_against_removed(study, _KEPT, _REMOVED)


@claim(
    "D1-depth",
    "D1 carried over by depth",
    source=f"D1, by depth; not a published set ({_SETS_SOURCE})",
    families=("flux",),
    why_not=_same_length,
)
def published_sets_by_depth(study: Study) -> Sequence[Question]:
    """As D1, with each block at the same depth of the model's own double stack (of 5: 0, 4 against 1-3)."""
    length = study.stacks["double"]
    kept = _at_depth(_KEPT, _OF, length)
    return _kept_against_removed(study, kept, [b for b in _at_depth(_REMOVED, _OF, length) if b not in kept])


def _evenly(places: Sequence[int]) -> list[int]:
    """At most :data:`_MOST` of some places, spread evenly."""
    if len(places) <= _MOST:
        return list(places)
    return [places[i * (len(places) - 1) // (_MOST - 1)] for i in range(_MOST)]


def _runs_and_scattered(study: Study) -> Iterator[tuple[SkippedSet, SkippedSet]]:
    """(three blocks in a row, three with one between them) around the same block, the first and last block left out."""
    for stack, length in study.stacks.items():
        for at in _evenly(range(3, length - 3)):
            yield SkippedSet(stack, (at - 1, at, at + 1)), SkippedSet(stack, (at - 2, at, at + 2))


def _no_runs(study: Study) -> str:
    return "" if any(_runs_and_scattered(study)) else f"no stack of {study.name} has seven blocks or more"


@claim(
    "D2",
    "removing blocks in a row is better than removing as many that are scattered",
    source=_PPCL_SOURCE,
    families=_ALL,
    why_not=_no_runs,
)
def contiguous(study: Study) -> Sequence[Question]:
    """Skipping blocks i-1, i, i+1 has surely less harm than skipping i-2, i, i+2.

    The mean over at most six places i of each stack of seven blocks or more, from which neither form reaches the first
    or the last block.
    """
    pairs = list(_runs_and_scattered(study))
    row = MeanOf("skip three in a row", tuple(row for row, _ in pairs))
    scattered = MeanOf("skip three that are scattered", tuple(scattered for _, scattered in pairs))
    return [less_harm(study, row, scattered)]


def _drawn(stack: str, length: int, size: int) -> MeanOf:
    """Random sets of blocks of a stack, by hash and so the same everywhere."""
    sets = []
    for draw in range(_DRAWN):
        order = sorted(range(length), key=lambda b: hashlib.sha256(f"{stack}/{size}/{draw}/{b}".encode()).digest())
        sets.append(SkippedSet(stack, tuple(sorted(order[:size]))))
    blocks = "block" if size == 1 else "blocks"
    return MeanOf(f"skip {size} random {blocks} of {stack}", tuple(sets))


def _small_stacks(study: Study) -> str:
    return "" if max(study.stacks.values()) > max(_SIZES) else f"no stack of {study.name} has more than three blocks"


@claim(
    "D2-few",
    "removing one to three random blocks is negligible",
    source=_PPCL_SOURCE,
    families=_ALL,
    why_not=_small_stacks,
)
def few_random(study: Study) -> Sequence[Question]:
    """Skipping one, two or three random blocks of a stack is mild, in each stack of more than three blocks.

    The mean over four sets of each number.
    """
    large = {stack: length for stack, length in study.stacks.items() if length > max(_SIZES)}
    return [mild(study, _drawn(stack, length, size)) for stack, length in large.items() for size in _SIZES]


@claim(
    "D3",
    "early blocks matter more than late ones",
    source="HierarchicalPrune, arXiv 2508.04663 (SD3.5-Large-Turbo, FLUX.1-schnell)",
    families=("flux", "sd3"),
)
def early_blocks(study: Study) -> Sequence[Question]:
    """Skipping one block of the model's first half has surely more harm than skipping one of its second half.

    The mean over the blocks of each half, all stacks in their order; of an odd number the middle block is left out.
    """
    skipped = [Variant(stack, Span(b, b), "skip") for stack, length in study.stacks.items() for b in range(length)]
    half = len(skipped) // 2
    early = MeanOf("skip one of the first half", tuple(skipped[:half]))
    late = MeanOf("skip one of the second half", tuple(skipped[-half:]))
    return [less_harm(study, late, early)]


def _neighbours(study: Study) -> dict[str, list[SkippedSet]]:
    """Two neighbours of each middle, by stack; only of stacks with two such pairs or more."""
    pairs = {
        stack: [SkippedSet(stack, (b, b + 1)) for b in _evenly(range(span.first, span.last))]
        for stack, span in middles(study)
    }
    return {stack: sets for stack, sets in pairs.items() if len(sets) > 1}


def _no_neighbours(study: Study) -> str:
    return "" if _neighbours(study) else f"no middle of {study.name} has three blocks"


@claim(
    "D4",
    "errors of blocks don't add up: a set with a smaller sum of single errors can be the worse one",
    source="EvoPress, ICML 2025, arXiv 2410.14649 (language models)",
    families=_ALL,
    why_not=_no_neighbours,
)
def not_monotone(study: Study) -> Sequence[Either[Question]]:
    """A pair of neighbouring blocks has surely a smaller sum of single harms than another pair, and surely more harm.

    The single harms are those of skipping each block of a pair alone, the harm is that of skipping both. One such two
    pairs are enough, of at most six in the middle of each stack.
    """
    return [
        any_of(
            *(
                (_smaller_sum(study, first, second), less_harm(study, second, first))
                for sets in _neighbours(study).values()
                for first, second in permutations(sets, 2)
            )
        )
    ]


def _smaller_sum(study: Study, less: SkippedSet, more: SkippedSet) -> Question:
    """``less`` has a smaller sum of the harms of its blocks, each skipped alone, paired over prompts."""
    low, high = (sum(Variant(s.stack, Span(b, b), "skip").harm(study) for b in s.blocks) for s in (less, more))
    what = f"sum of the single harms of {more} - {less}"
    return Question(what, over_prompts(high - low), Direction.MORE, 0.0, "sd")


def _guidance_length(study: Study) -> str:
    length = study.stacks["joint"]
    known = f"layers 7-9 are those of {_MEDIUM} (SD3.5-medium) and {_LARGE} (SD3.5-large) blocks"
    return "" if length in (_MEDIUM, _LARGE) else f"{known}; {study.name} has {length}"


def _same_guidance_length(study: Study) -> str:
    length = study.stacks["joint"]
    return "this model has the very layers that were published" if length in (_MEDIUM, _LARGE) else ""


@claim(
    "D6",
    "layers 7-9 of SD3.5-medium can be perturbed for guidance; those of SD3.5-large blow up the image",
    source=_SLG_SOURCE,
    families=("sd3",),
    why_not=_guidance_length,
)
def guidance_layers(study: Study) -> Sequence[Question]:
    """Skipping blocks 7-9 degrades the images of a model with 24 blocks, and is catastrophic for one with 38."""
    skipped = Variant("joint", Span(*_GUIDANCE_LAYERS), "skip")
    return degrades(study, skipped) if study.stacks["joint"] == _MEDIUM else [catastrophic(study, skipped)]


@claim(
    "D6-depth",
    "D6's part on SD3.5-medium carried over by depth",
    source=f"D6, by depth; not the published layers ({_SLG_SOURCE})",
    families=("sd3",),
    why_not=_same_guidance_length,
)
def guidance_layers_by_depth(study: Study) -> Sequence[Question]:
    """Skipping the blocks at the depth of 7-9 of 24 (of 12: 3-4) degrades the images."""
    first, *_, last = (blocks := _at_depth(range(7, 10), _MEDIUM, study.stacks["joint"])) + blocks[-1:]
    return degrades(study, Variant("joint", Span(first, last), "skip"))


@claim(
    "D7",
    "skipping one of FLUX's early double blocks can have a significant impact, skipping another one has not",
    source="the model card of flux.1-lite-8B-alpha; against B4, where skipping block 0 is not catastrophic",
    families=("flux",),
)
def early_double(study: Study) -> Sequence[Question | Either[Question]]:
    """Skipping one of the first quarter of the double blocks is more than mild, skipping any of the rest is mild."""
    length = study.stacks["double"]
    early = -(-length // 4)
    skipped = [Variant("double", Span(b, b), "skip") for b in range(length)]
    impact = any_of(*(of_scale(study, variant, Direction.MORE, MILD) for variant in skipped[:early]))
    return [impact, *(mild(study, variant) for variant in skipped[early:])]


PRUNING: tuple[Claim, ...] = (
    published_sets,
    published_sets_by_depth,
    contiguous,
    few_random,
    early_blocks,
    not_monotone,
    guidance_layers,
    guidance_layers_by_depth,
    early_double,
)

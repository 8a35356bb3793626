"""B1: how strongly the blocks' outputs fall into groups, on the model's own sampling trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.analysis.profile import Stream
from harness.analysis.segmentation import GROUPS, count_groups, gains, group, null_draws, outputs
from harness.findings.claim import BLOG_SOURCE, Claim, claim
from harness.findings.definitions import GROUPED
from harness.findings.intervals import counted, drawn, p_value
from harness.findings.questions import Direction, Question

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.results.arrays import Array

_SIMULATIONS = 999  # of the null, for its average gain
_LEAST = 2 * GROUPS  # blocks, under which three groups are hardly more than single blocks
_WITH_TWO_MIDDLES = 4  # groups
_ORDER = ("flux", "auraflow", "sd3")  # from the strongest grouping to the weakest


def _streams(study: Study) -> Iterator[Stream]:
    for stack, length in study.stacks.items():
        if length >= _LEAST:
            yield study.trajectory.stream(stack, "image")


def _too_short(study: Study) -> str:
    long_enough = any(length >= _LEAST for length in study.stacks.values())
    return "" if long_enough else f"no stack of {study.name} has the {_LEAST} blocks for {GROUPS} groups"


@claim(
    "B1",
    "the layers' similarities fall into groups, in FLUX, SD3 and AuraFlow",
    source=BLOG_SOURCE,
    families=_ORDER,
    why_not=_too_short,
)
def similarities_group(study: Study) -> Sequence[Question]:
    """In the image stream of each stack, a cut into three groups beats the smooth-decay null.

    By cosines after each sample's mean token was taken away; the blog's are raw, where a few channels with huge values
    make all layers alike.
    """
    return [
        Question(
            f"p of the null without groups, {stream.stack}",
            p_value(group(stream, GROUPS).p, GROUPED),
            Direction.AT_MOST,
            GROUPED,
            "",
        )
        for stream in _streams(study)
    ]


def _no_others(study: Study) -> str:
    if study.others:
        return _too_short(study)
    return "it compares three models, and only the bundled ones are measured beside each other"


def _short_single(study: Study) -> str:
    length = study.stacks["single"]
    return "" if length >= _LEAST else f"{length} single blocks are too few for four groups"


@claim(
    "B1-middles",
    "FLUX's single blocks have two distinct middle groupings",
    source=BLOG_SOURCE,
    families=_ORDER[:1],
    why_not=_short_single,
)
def two_middle_groupings(study: Study) -> Sequence[Question]:
    """The number of groups, two to six, that stands out most from the smooth-decay null is four, and beats it.

    Of the single stack's image stream, by centred cosines as in B1; four are the first, two middle ones and the last.
    """
    by_data = count_groups(study.trajectory.stream("single", "image"), simulations=_SIMULATIONS)
    p, number = p_value(by_data.p, GROUPED), counted(by_data.best, by_data.draws)
    return [
        Question("p of the null without groups, single", p, Direction.AT_MOST, GROUPED, ""),
        Question("groups of single blocks", number, Direction.AT_LEAST, _WITH_TWO_MIDDLES, "groups"),
        Question("groups of single blocks", number, Direction.AT_MOST, _WITH_TWO_MIDDLES, "groups"),
    ]


class _Strength(NamedTuple):
    """A stream's strength of grouping, and its (R,) bootstrap draws."""

    value: float
    draws: Array


def _strength(stream: Stream, rng: np.random.Generator) -> _Strength:
    """The share of the scatter that a cut into three groups removes, beyond its mean under the null without groups.

    In each draw the null's mean is over a resample of its simulations, so that their limited number is part of the
    scatter of the draws.
    """
    gram, draws = outputs(stream)
    null = gains(null_draws(gram, draws, _SIMULATIONS), GROUPS)[:, -1]
    again = rng.choice(null, size=(len(draws), len(null))).mean(axis=1)
    return _Strength(float(gains(gram, GROUPS)[-1] - null.mean()), gains(draws, GROUPS)[:, -1] - again)


@claim(
    "B1-order",
    "FLUX shows the strongest similarity grouping, then AuraFlow, then SD3",
    source=BLOG_SOURCE,
    families=_ORDER[:1],
    why_not=_no_others,
)
def strength_falls(study: Study) -> Sequence[Question]:
    """Of the image streams' gain by three groups, beyond the smooth-decay null's, the largest of each model falls."""
    rng = np.random.default_rng(0)
    models = {study.family: study, **study.others}
    strongest = {
        family: max((_strength(stream, rng) for stream in _streams(model)), key=lambda estimate: estimate.value)
        for family, model in models.items()
    }
    out: list[Question] = []
    for more, less in pairwise(_ORDER):
        (a, a_draws), (b, b_draws) = strongest[more], strongest[less]
        # A prompt has the same weight in a draw whatever the model, so that draws are paired.
        evidence = drawn(a - b, a_draws - b_draws)
        out.append(Question(f"strength of grouping, {more} - {less}", evidence, Direction.MORE, 0.0, "of the scatter"))
    return out


SIMILARITY: tuple[Claim, ...] = (similarities_group, strength_falls, two_middle_groupings)

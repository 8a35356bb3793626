"""C1 to C7: the layer-wise analysis of SD3.5-Large, angular distances of its 38 joint blocks on noised real images.

They are read from :attr:`harness.analysis.study.Study.noised`, so C1 to C6 need a model with 38 joint blocks. As in the
study, an angular distance is that of the last token; the ids that end with ``-mean`` ask the same of the mean over all
tokens. The images are those of ``--dit-images``, or else the model's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.profile import LAST, REDUCTIONS, Stream
from harness.analysis.step_agreement import at_levels, step_agreement
from harness.findings.claim import SD35_SOURCE, Claim, claim
from harness.findings.intervals import curvature, drawn, over_prompts, trend
from harness.findings.questions import Direction, Question

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.results.arrays import Array

_MEAN = REDUCTIONS[0]
_OURS = f"{SD35_SOURCE}, of all tokens; not its own measure"
_BLOCKS = 38
_JOINT = "joint"
CRITICAL: Mapping[str, tuple[int, ...]] = {"image": (0, 35), "text": (0, 31)}
_ISLANDS: Mapping[str, tuple[int, int]] = {"text": (19, 31), "image": (33, 37)}
LEAST: Mapping[str, int] = {"text": 7, "image": 8}  # by its figure; by its words 7 for both
_LEAST_OF_BOTH = 7
RISING = (11, 12, 21, 22, 23, 24, 26, 27, 28, 29, 30, 33, 34, 36)
_RISING_IMAGE = (33, 34)
EXTREMES = (2, 13, 18, 19, 36)
_UNIT = "of a half turn"  # angular distance is in units of pi
_SLOPE = f"{_UNIT} over the whole noise"

_ReducedMeasure = Callable[["Study", str], Sequence[Question]]


def _another_model(study: Study) -> str:
    joint = study.stacks.get(_JOINT, 0)
    return "" if joint == _BLOCKS else f"about the {_BLOCKS} joint blocks of SD3.5-Large; {study.name} has {joint}"


def _both_reductions(id_: str, statement: str) -> Callable[[_ReducedMeasure], tuple[Claim, Claim]]:
    """Declare a claim twice: of the last token, and as ``<id>-mean`` of all tokens."""

    def declare(measure: _ReducedMeasure) -> tuple[Claim, Claim]:
        published = _declared(id_, statement, SD35_SOURCE, measure, LAST)
        return published, _declared(f"{id_}-mean", f"{statement} (of all tokens)", _OURS, measure, _MEAN)

    return declare


def _declared(id_: str, statement: str, source: str, measure: _ReducedMeasure, reduction: str) -> Claim:
    def measured(study: Study) -> Sequence[Question]:
        return measure(study, reduction)

    measured.__doc__ = measure.__doc__
    return claim(id_, statement, source=source, families=("sd3",), why_not=_another_model)(measured)


def _gap(stream: Stream, reduction: str, what: str, more: Sequence[int], less: Sequence[int]) -> Question:
    """Whether the least angular distance of ``more`` is above the largest of ``less``."""

    def gap(angular: Array) -> float:
        return float(angular[list(more)].min() - angular[list(less)].max())

    value = gap(stream.overall("angular_last" if reduction == LAST else "angular"))
    evidence = drawn(value, [gap(draw) for draw in stream.angle_draws(reduction)])
    return Question(what, evidence, Direction.MORE, 0.0, _UNIT)


def _blocks(stream: Stream) -> range:
    """The blocks that write to the stream: the last one gives no text."""
    return range(stream.angular.shape[1])


def _levels(study: Study) -> Array:
    """(B,) the middles of the bins of the noise level."""
    edges = study.noised.edges
    return np.asarray((edges[:-1] + edges[1:]) / 2, dtype=np.float64)


@_both_reductions("C1", "SD3.5-Large's critical layers are 0 (both streams), 31 (text) and 35 (image)")
def _critical_layers(study: Study, reduction: str) -> Sequence[Question]:
    """In each stream, the angular distance of each critical layer is above the largest of all layers not called so."""
    out: list[Question] = []
    for name, critical in CRITICAL.items():
        stream = study.noised.stream(_JOINT, name)
        others = [block for block in _blocks(stream) if block not in critical]
        out += [_gap(stream, reduction, f"{name} {block} - largest uncritical", [block], others) for block in critical]
    return out


@_both_reductions("C2", "SD3.5-Large has islands of contribution: text 19-31, image 33-37")
def _islands(study: Study, reduction: str) -> Sequence[Question]:
    """The least angular distance of the island's blocks is above those of the blocks just outside."""
    out: list[Question] = []
    for name, (first, last) in _ISLANDS.items():
        stream = study.noised.stream(_JOINT, name)
        shore = [block for block in (first - 1, last + 1) if block in _blocks(stream)]
        what = f"{name}, least of {first}-{last} - its shore"
        out.append(_gap(stream, reduction, what, range(first, last + 1), shore))
    return out


def _least(study: Study, reduction: str, name: str, least: int) -> Question:
    stream = study.noised.stream(_JOINT, name)
    others = [block for block in _blocks(stream) if block != least]
    return _gap(stream, reduction, f"{name}, least of the others - {least}", others, [least])


@_both_reductions("C3", "SD3.5-Large has a single layer with very little contribution for both text and image, 7")
def _least_by_both(study: Study, reduction: str) -> Sequence[Question]:
    """In the text and in the image, the angular distance at block 7 is below that of every other block."""
    return [_least(study, reduction, name, _LEAST_OF_BOTH) for name in LEAST]


@claim(
    "C3-text",
    "SD3.5-Large's least contributing layer is 7, by its text",
    source=f"half of C3 ({SD35_SOURCE})",
    families=("sd3",),
    why_not=_another_model,
)
def least_by_text(study: Study) -> Sequence[Question]:
    """The text's angular distance at block 7 is below that of every other block."""
    return [_least(study, LAST, "text", LEAST["text"])]


@claim(
    "C3-image",
    "by its own figure, SD3.5-Large's least contributing layer is 8 by its image",
    source=f"{SD35_SOURCE}, read off its figure",
    families=("sd3",),
    why_not=_another_model,
)
def least_by_image(study: Study) -> Sequence[Question]:
    """The image's angular distance at block 8 is below that of every other block."""
    return [_least(study, LAST, "image", LEAST["image"])]


def _slopes(study: Study, reduction: str, name: str, layers: Sequence[int]) -> list[Question]:
    """Whether the angular distance of each layer rises with the noise level."""
    angular = study.noised.stream(_JOINT, name).angles(reduction)
    evidence = {block: trend(_levels(study), angular[:, block]) for block in layers}
    return [Question(f"{name} {block}, slope", evidence[block], Direction.MORE, 0.0, _SLOPE) for block in layers]


def _beyond_others(stream: Stream, reduction: str, layers: Sequence[int]) -> Array:
    """(B,) mean angular distance of some layers minus that of all others."""
    angular = stream.angles(reduction)
    others = [block for block in _blocks(stream) if block not in layers]
    return np.asarray(angular[:, list(layers)].mean(axis=1) - angular[:, others].mean(axis=1), dtype=np.float64)


@_both_reductions(
    "C4",
    "SD3.5-Large's text contribution rises with noise at layers 11, 12, 21-24, 26-30, 33, 34 and 36, beyond the others",
)
def _rising_text(study: Study, reduction: str) -> Sequence[Question]:
    """At each of these layers, the slope of the text's angular distance over bins of the noise level is positive.

    The slope of the mean over these layers is above that of the mean over all others.
    """
    beyond = _beyond_others(study.noised.stream(_JOINT, "text"), reduction, RISING)
    evidence = trend(_levels(study), beyond)
    contrast = Question("text, slope of the listed - of the others", evidence, Direction.MORE, 0.0, _SLOPE)
    return [*_slopes(study, reduction, "text", RISING), contrast]


@claim(
    "C4-listed",
    "SD3.5-Large's text contribution rises with noise at layers 11, 12, 21-24, 26-30, 33, 34 and 36",
    source=f"C4, whatever the other layers do ({SD35_SOURCE})",
    families=("sd3",),
    why_not=_another_model,
)
def rising_text_alone(study: Study) -> Sequence[Question]:
    """At each of these layers, the slope of the text's angular distance over bins of the noise level is positive.

    Other layers may rise as well: in the study's own figure about half of them do.
    """
    return _slopes(study, LAST, "text", RISING)


@_both_reductions("C5", "SD3.5-Large's image contribution rises with noise at layers 33 and 34")
def _rising_image(study: Study, reduction: str) -> Sequence[Question]:
    """At both layers, the slope of the image's angular distance over bins of the noise level is positive."""
    return _slopes(study, reduction, "image", _RISING_IMAGE)


@_both_reductions(
    "C6", "SD3.5-Large's image contribution is high at both extremes of the noise at layers 2, 13, 18, 19 and 36"
)
def _high_at_both_extremes(study: Study, reduction: str) -> Sequence[Question]:
    """At each of these layers, the image's angular distance over bins of the noise level has a positive curvature.

    The curvature of the mean over these layers is above that of the mean over all others.
    """
    stream = study.noised.stream(_JOINT, "image")
    rows = {f"image {block}, curvature": stream.angles(reduction)[:, block] for block in EXTREMES}
    rows["image, curvature of the listed - of the others"] = _beyond_others(stream, reduction, EXTREMES)
    unit = f"{_SLOPE} squared"
    return [
        Question(what, curvature(_levels(study), values), Direction.MORE, 0.0, unit) for what, values in rows.items()
    ]


_FAMILIES = ("flux", "sd3", "auraflow")
_STEP_BY_STEP = "a block matters to the prediction at those timesteps at which it turns its states far"
_PROPOSED = f"a study that is proposed in {SD35_SOURCE}, and wasn't made there"


def _nothing_to_correlate(study: Study) -> str:
    short = [stack for stack, length in study.stacks.items() if length < 2]
    if short:
        return f"stack {short[0]!r} of {study.name} is one block, with no other to compare it with"
    return "" if study.steps > 1 else f"{study.name} samples in one step"


def _agreement(study: Study, reduction: str) -> Sequence[Question]:
    out: list[Question] = []
    for stack, velocity in study.velocities.items():
        angles = study.noised.stream(stack, "image").angles(reduction)
        correlations = step_agreement(at_levels(study.noised.edges, angles, velocity.levels), velocity.error)
        what = f"correlation of angle and velocity error over steps and blocks, {stack}"
        out.append(Question(what, over_prompts(correlations), Direction.MORE, 0.0, ""))
    return out


@claim("C7", _STEP_BY_STEP, source=_PROPOSED, families=_FAMILIES, why_not=_nothing_to_correlate)
def step_by_step(study: Study) -> Sequence[Question]:
    """In each stack, the image's angular distance (last token) correlates with the velocity error of skipping a block.

    Over steps and blocks, both as logarithms without each block's mean over steps and each step's mean over blocks; the
    angle is that of noised images in the bin of the step's noise level. One correlation for each prompt.
    """
    return _agreement(study, LAST)


@claim(
    "C7-mean",
    f"{_STEP_BY_STEP} (of all tokens)",
    source=_PROPOSED,
    families=_FAMILIES,
    why_not=_nothing_to_correlate,
)
def step_by_step_of_all_tokens(study: Study) -> Sequence[Question]:
    """As C7, with the mean over all tokens of the image's angular distance."""
    return _agreement(study, _MEAN)


SD35: tuple[Claim, ...] = (
    *_critical_layers,
    *_islands,
    *_least_by_both,
    least_by_text,
    least_by_image,
    *_rising_text,
    rising_text_alone,
    *_rising_image,
    *_high_at_both_extremes,
    step_by_step,
    step_by_step_of_all_tokens,
)

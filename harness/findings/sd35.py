"""C1 to C4: the layer-wise analysis of SD3.5-Large, angular distances of its 38 joint blocks on noised real images.

They are read from :attr:`harness.analysis.study.Study.noised`, so a model with 38 joint blocks is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.profile import Stream
from harness.findings.claim import SD35_SOURCE, Claim, claim
from harness.findings.intervals import drawn, trend
from harness.findings.questions import Direction, Question

if TYPE_CHECKING:
    from harness.analysis.study import Study
    from harness.results.arrays import Array

_BLOCKS = 38
CRITICAL: Mapping[str, tuple[int, ...]] = {"image": (0, 35), "text": (0, 31)}
_ISLANDS: Mapping[str, tuple[int, int]] = {"text": (19, 31), "image": (33, 37)}
LEAST: Mapping[str, int] = {"text": 7, "image": 8}
RISING = (11, 12, 21, 22, 23, 24, 26, 27, 28, 29, 30, 33, 34, 36)
_UNIT = "of a half turn"  # angular distance is in units of pi


def _another_model(study: Study) -> str:
    joint = study.stacks.get("joint", 0)
    return "" if joint == _BLOCKS else f"about the {_BLOCKS} joint blocks of SD3.5-Large; {study.name} has {joint}"


def _gap(stream: Stream, what: str, more: Sequence[int], less: Sequence[int]) -> Question:
    """Whether the least angular distance of ``more`` is above the largest of ``less``."""

    def gap(angular: Array) -> float:
        return float(angular[list(more)].min() - angular[list(less)].max())

    evidence = drawn(gap(stream.overall("angular")), [gap(draw) for draw in stream.angular_draws])
    return Question(what, evidence, Direction.MORE, 0.0, _UNIT)


def _blocks(stream: Stream) -> range:
    """The blocks that write to the stream: the last one gives no text."""
    return range(stream.angular.shape[1])


@claim(
    "C1",
    "SD3.5-Large's critical layers are 0 (both streams), 31 (text) and 35 (image)",
    source=SD35_SOURCE,
    families=("sd3",),
    why_not=_another_model,
)
def critical_layers(study: Study) -> Sequence[Question]:
    """In each stream, the angular distance of each critical layer is above the largest of all layers not called so."""
    out: list[Question] = []
    for name, critical in CRITICAL.items():
        stream = study.noised.stream("joint", name)
        others = [block for block in _blocks(stream) if block not in critical]
        out += [_gap(stream, f"{name} {block} - largest uncritical", [block], others) for block in critical]
    return out


@claim(
    "C2",
    "SD3.5-Large has islands of contribution: text 19-31, image 33-37",
    source=SD35_SOURCE,
    families=("sd3",),
    why_not=_another_model,
)
def islands(study: Study) -> Sequence[Question]:
    """The least angular distance of the island's blocks is above those of the blocks just outside."""
    out: list[Question] = []
    for name, (first, last) in _ISLANDS.items():
        stream = study.noised.stream("joint", name)
        shore = [block for block in (first - 1, last + 1) if block in _blocks(stream)]
        out.append(_gap(stream, f"{name}, least of {first}-{last} - its shore", range(first, last + 1), shore))
    return out


def _least(study: Study, name: str) -> Sequence[Question]:
    stream = study.noised.stream("joint", name)
    least = LEAST[name]
    others = [block for block in _blocks(stream) if block != least]
    return [_gap(stream, f"{name}, least of the others - {least}", others, [least])]


@claim(
    "C3",
    "SD3.5-Large's least contributing layer is 7, by its text",
    source=SD35_SOURCE,
    families=("sd3",),
    why_not=_another_model,
)
def least_by_text(study: Study) -> Sequence[Question]:
    """The text's angular distance at block 7 is below that of every other block."""
    return _least(study, "text")


@claim(
    "C3-image",
    "by its own figure, SD3.5-Large's least contributing layer is 8 by its image",
    source=f"{SD35_SOURCE}, read off its figure",
    families=("sd3",),
    why_not=_another_model,
)
def least_by_image(study: Study) -> Sequence[Question]:
    """The image's angular distance at block 8 is below that of every other block."""
    return _least(study, "image")


@claim(
    "C4",
    "SD3.5-Large's text contribution rises with noise at layers 11, 12, 21-24, 26-30, 33, 34 and 36",
    source=SD35_SOURCE,
    families=("sd3",),
    why_not=_another_model,
)
def rising_text(study: Study) -> Sequence[Question]:
    """At each of these layers, the slope of the text's angular distance over bins of the noise level is positive."""
    profile = study.noised
    levels = (profile.edges[:-1] + profile.edges[1:]) / 2
    angular = profile.stream("joint", "text").angular
    evidence = {block: trend(levels, np.asarray(angular[:, block])) for block in RISING}
    unit = f"{_UNIT} over the whole noise"
    return [Question(f"text {block}, slope", evidence[block], Direction.MORE, 0.0, unit) for block in RISING]


SD35: tuple[Claim, ...] = (critical_layers, islands, least_by_text, least_by_image, rising_text)

"""A study's figures: those with baselines, what predicts harm, and how harms of pairs of blocks add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.analysis.predictors import Additivity, Correlation, additivity, spearman
from harness.analysis.profile import Stream
from harness.analysis.segmentation import GROUPS, Grouping, group
from harness.analysis.study import Study
from harness.results.arrays import Array

_EVERYWHERE = "all stacks"
# The measures that may predict a block's harm, and what each costs; a run is one sampling of all prompts.
PREDICTORS: Mapping[str, str] = {
    "depth": "nothing",
    "influence, image": "one run",
    "influence, text": "one run",
    "centred influence, image": "one run",
    "angular, image": "one run",
    "angular, text": "one run",
    "angular last token, image": "one run",
    "CKA distance, image": "one run",
    "angular noised, image": "one forward a level",
    "angular noised, text": "one forward a level",
    "output MSE": "half a run a block",
    "vitality": "a run a block",
}


def layers(study: Study) -> dict[str, dict[str, float]]:
    """``<stack>-<stream>`` -> the stream's mean figures.

    ``influence`` and ``angular`` (distance) are over blocks, ``similarity`` (centred) and ``cka`` over pairs of
    different states, all on the trajectory; ``noised_angular`` is ``angular`` on noised images.
    """
    out: dict[str, dict[str, float]] = {}
    for stream in study.trajectory.streams:
        noised = study.noised.stream(stream.stack, stream.name)
        out[f"{stream.stack}-{stream.name}"] = {
            "influence": float(stream.influence.mean()),
            "angular": float(stream.overall("angular").mean()),
            "similarity": _off_diagonal_mean(stream.overall("centred")),
            "cka": _off_diagonal_mean(stream.overall("cka")),
            "noised_angular": float(noised.overall("angular").mean()),
        }
    return out


def _off_diagonal_mean(table: Array) -> float:
    return float(table[~np.eye(len(table), dtype=bool)].mean())


def velocities(study: Study) -> dict[str, dict[str, float]]:
    """``<stack>-velocity`` -> the mean relative error of the velocity over prompts, steps and skipped blocks."""
    return {f"{stack}-velocity": {"velocity": float(v.error.mean())} for stack, v in study.velocities.items()}


def groupings(study: Study) -> dict[str, Grouping]:
    """Each stack's image stream on the trajectory, cut into as many groups as stand out, two to six.

    Into three where no number does; stacks of fewer blocks than that are left out.
    """
    return {
        stack: group(study.trajectory.stream(stack, "image"))
        for stack, length in study.stacks.items()
        if length >= GROUPS
    }


def measures(study: Study, stack: str) -> dict[str, Array]:
    """Each of PREDICTORS, (L,) over a stack's blocks; NaN for a block that writes no such stream (SD3's last, text)."""
    length = study.stacks[stack]
    image, text = (study.trajectory.stream(stack, name) for name in ("image", "text"))
    noised = {name: study.noised.stream(stack, name) for name in ("image", "text")}

    def by_block(values: Array) -> Array:
        full = np.full(length, np.nan)
        full[: len(values)] = values
        return full

    def steps(stream: Stream, what: str) -> Array:
        return np.asarray(1.0 - np.diagonal(stream.overall(what), offset=1), dtype=np.float64)

    columns = (
        np.arange(length, dtype=np.float64),
        image.influence,
        text.influence,
        steps(image, "centred"),
        image.overall("angular"),
        text.overall("angular"),
        image.overall("angular_last"),
        steps(image, "cka"),
        noised["image"].overall("angular"),
        noised["text"].overall("angular"),
        study.velocities[stack].error.mean(axis=(0, 1)),
        vitality(study, stack),
    )
    return {name: by_block(values) for name, values in zip(PREDICTORS, columns, strict=True)}


def vitality(study: Study, stack: str) -> Array:
    """(L,) drift of the images when each block is skipped: 1 - cosine of the judge's features, in units of a reseed's.

    After the vitality of Stable Flow (arXiv 2411.14430), which takes DINOv2's features instead.
    """
    return np.array([measured.summary["image_drift"] for measured in study.single_skips(stack)])


def harms(study: Study, stack: str) -> Array:
    """(L, P) harm of skipping each block alone, in sds."""
    return np.array([study.harm(measured) for measured in study.single_skips(stack)])


@dataclass(frozen=True)
class Prediction:
    """The rank correlation of a measure with the harm of skipping a block, over blocks of ``stack`` or of all."""

    measure: str
    stack: str
    correlation: Correlation

    @property
    def id(self) -> str:
        """``double-rho-influence-image``."""
        return "-".join([self.stack, "rho", self.measure]).replace(",", "").replace(" ", "-").lower()


def predictions(study: Study) -> list[Prediction]:
    """Every measure on every stack, and over all blocks of the model where it has more than one stack."""
    tables = {stack: (measures(study, stack), harms(study, stack).mean(axis=1)) for stack in study.stacks}
    out: list[Prediction] = []
    for name in PREDICTORS:
        sides = {stack: (columns[name], harm) for stack, (columns, harm) in tables.items()}
        if len(sides) > 1:
            both = (np.concatenate([side[i] for side in sides.values()]) for i in (0, 1))
            sides[_EVERYWHERE] = (next(both), next(both))
        for stack, (values, harm) in sides.items():
            finite = np.isfinite(values)
            out.append(Prediction(name, stack, spearman(values[finite], harm[finite])))
    return out


def interactions(study: Study, stack: str) -> Additivity:
    """The harm of skipping each pair of a stack's blocks together, against the sum of skipping each alone."""
    length = study.stacks[stack]
    pairs = {
        (a, b): study.harm(study.run(" ".join(str(i) for i in range(length) if i not in (a, b)) or "-", stack))
        for a, b in combinations(range(length), 2)
    }
    return additivity(harms(study, stack).T, pairs)

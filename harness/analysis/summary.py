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
from harness.results.statistics import by_prompt

_EVERYWHERE = "all stacks"
# The measures that may predict a block's harm, and what each costs; a run is one sampling of all prompts. None of them
# reads the judge's features, which harm is made of. What costs _AS_HARM spares nothing: the same run gives harm itself.
_AS_HARM = "a run a block"
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
    "latent drift": _AS_HARM,
    "pixel drift": _AS_HARM,
    "vitality": _AS_HARM,
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
    """Each of PREDICTORS, (L,) over a stack's blocks; NaN for a block that writes no such stream (SD3's last, text).

    Vitality is NaN throughout where DINOv2 isn't among the lab's metrics.
    """
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
        latent_drift(study, stack),
        _of_skips(study, stack, "pixel_drift"),
        _of_skips(study, stack, "dinov2.drift"),
    )
    return {name: by_block(values) for name, values in zip(PREDICTORS, columns, strict=True)}


def latent_drift(study: Study, stack: str) -> Array:
    """(L,) drift of the final latents when each block is skipped: 1 - cosine, in units of a reseed's.

    With DINOv2's features of the images instead it is the vitality of Stable Flow (arXiv 2411.14430). Not with the
    judge's: harm is read off those, of the same images.
    """
    return _of_skips(study, stack, "latent_drift")


def _of_skips(study: Study, stack: str, figure: str) -> Array:
    """(L,) a figure of skipping each block alone; NaN where it wasn't measured."""
    return np.array([measured.summary.get(figure, np.nan) for measured in study.single_skips(stack)])


def harms(study: Study, stack: str) -> Array:
    """(L, P) harm of skipping each block alone, in sds."""
    return np.array([study.harm(measured) for measured in study.single_skips(stack)])


def _checker_losses(study: Study, stack: str) -> Array | None:
    """(L, P) what the exact checker finds lost when each block is skipped alone; None outside the bundled world."""
    skips = study.single_skips(stack)
    if any("grade_loss" not in measured.values for measured in skips):
        return None
    return np.array([by_prompt(measured.values["grade_loss"], measured.prompts) for measured in skips])


@dataclass(frozen=True)
class Prediction:
    """The rank correlation of a measure with the harm of skipping a block, over blocks of ``stack`` or of all.

    ``checker`` is the same with the exact checker's loss, a second opinion on what harm is; None where there is none.
    """

    measure: str
    stack: str
    correlation: Correlation
    checker: Correlation | None = None

    @property
    def id(self) -> str:
        """``double-rho-influence-image``."""
        return "-".join([self.stack, "rho", self.measure]).replace(",", "").replace(" ", "-").lower()

    @property
    def spares_work(self) -> bool:
        """Whether it costs less than measuring harm itself."""
        return PREDICTORS.get(self.measure) != _AS_HARM


def predictions(study: Study) -> list[Prediction]:
    """Every measure on every stack, and over all blocks of the model where it has more than one stack.

    A measure that no block has is left out.
    """
    tables = {stack: measures(study, stack) for stack in study.stacks}
    outcomes = {stack: harms(study, stack).mean(axis=1) for stack in study.stacks}
    losses = {stack: _checker_losses(study, stack) for stack in study.stacks}
    out: list[Prediction] = []
    for name in PREDICTORS:
        stacks: dict[str, tuple[str, ...]] = {stack: (stack,) for stack in tables}
        if len(stacks) > 1:
            stacks[_EVERYWHERE] = tuple(tables)
        for label, members in stacks.items():
            values = np.concatenate([tables[stack][name] for stack in members])
            finite = np.isfinite(values)
            if not finite.any():
                continue
            harm = np.concatenate([outcomes[stack] for stack in members])
            graded = [table.mean(axis=1) for stack in members if (table := losses[stack]) is not None]
            checker = spearman(values[finite], np.concatenate(graded)[finite]) if len(graded) == len(members) else None
            out.append(Prediction(name, label, spearman(values[finite], harm[finite]), checker))
    return out


def interactions(study: Study, stack: str) -> Additivity:
    """The harm of skipping each pair of a stack's blocks together, against the sum of skipping each alone."""
    length = study.stacks[stack]
    pairs = {
        (a, b): study.harm(study.run(" ".join(str(i) for i in range(length) if i not in (a, b)) or "-", stack))
        for a, b in combinations(range(length), 2)
    }
    return additivity(harms(study, stack).T, pairs)

"""The share of attributes of a bundled caption that an image gets right, by the exact checker of the bundled world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.metrics.base import Grader
from harness.models.spec import Settings
from harness.results.arrays import Images, Values
from harness.tiny import checker, world


class AttributeChecker(Grader):
    """Whether an image shows what its caption says: ``grade`` is the mean over the attributes, ``all_right`` is 0 or 1.

    No model is asked, so there are no weights: the attributes are read off the pixels. Raises ValueError for a text
    that is no caption of the bundled world.
    """

    name = "checker"
    id = "harness.tiny.checker"
    weights = ""
    grades = ("grade", "all_right", *checker.ATTRIBUTES)

    def __call__(self, images: Images, texts: Sequence[str]) -> Mapping[str, Values]:
        """Every one of ``grades`` as (N,) float64, for N images and their N captions."""
        score = checker.score(images, world.parse_all(texts))
        graded = {"grade": score.grade, "all_right": score.all_right, **score.attributes}
        return {name: values.astype(np.float64) for name, values in graded.items()}


def checkpoint_graders(settings: Settings, prompts: Sequence[str]) -> tuple[Grader, ...]:
    """The graders that a checkpoint's settings imply: the checker, where every prompt is a caption it can read."""
    return () if checker.layouts_of(settings, prompts) is None else (AttributeChecker(),)

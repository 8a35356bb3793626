"""The share of attributes of a bundled caption that an image gets right, by the exact checker."""

from __future__ import annotations

import numpy as np

from harness.results.arrays import Images, Values
from harness.tiny import checker
from harness.tiny.world import Layouts


def attribute_grades(images: Images, layouts: Layouts | None) -> dict[str, Values]:
    """The exact checker's grades (N,), where the prompts are the bundled world's."""
    if layouts is None:
        return {}
    read = checker.score(images, layouts)
    graded = {"grade": read.grade, "all_right": read.all_right, **read.attributes}
    return {name: values.astype(np.float64) for name, values in graded.items()}

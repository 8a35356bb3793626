"""Layout and detail in words, and which blocks the middle groupings are."""

from __future__ import annotations

import numpy as np

from harness.findings.drift_questions import middle_groupings
from tests.helpers.studies import Made, profile, stream


def plateaus(*groups):
    of = np.repeat(np.arange(len(groups)), groups)
    return np.where(of[:, None] == of, 0.9, 0.6) + 0.1 * np.eye(len(of))


def test_the_middle_groupings_are_measured_ones_where_there_are_two():
    made = Made("flux", stacks={"double": 6, "single": 18})
    assert tuple(map(str, middle_groupings(made, "single"))) == ("4-8", "9-13")  # by depth: nothing stands out
    made.trajectory = profile(stream("single", "image", plateaus(3, 7, 6, 2)))
    assert tuple(map(str, middle_groupings(made, "single"))) == ("3-9", "10-15")
    made.trajectory = profile(stream("single", "image", plateaus(3, 12, 3)))  # three groups have one middle
    assert tuple(map(str, middle_groupings(made, "single"))) == ("4-8", "9-13")

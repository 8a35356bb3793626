"""A study's figures: groups by data."""

from __future__ import annotations

import numpy as np

from harness.analysis.summary import groupings
from tests.helpers.studies import Made, profile, stream


def plateaus(*groups):
    of = np.repeat(np.arange(len(groups)), groups)
    return np.where(of[:, None] == of, 0.9, 0.6) + 0.1 * np.eye(len(of))


def test_stacks_are_cut_into_as_many_groups_as_stand_out():
    made = Made("flux", stacks={"double": 2, "single": 18})
    made.trajectory = profile(stream("single", "image", plateaus(3, 7, 6, 2)))
    found = groupings(made)
    assert set(found) == {"single"}
    assert found["single"].spans == ((0, 2), (3, 9), (10, 15), (16, 17))
    assert found["single"].structure
    smooth = groupings(Made("auraflow"))
    assert {stack: (len(g.starts), g.structure) for stack, g in smooth.items()} == {
        "double": (3, False),
        "single": (3, False),
    }

"""Harm by prompt: seeds are averaged within a prompt, and the unit is the control's seed sd."""

from __future__ import annotations

import pytest

from harness.results.harm import harm_by_prompt
from harness.results.records import Measurement


def test_seeds_are_averaged_within_each_prompt_and_points_become_sds():
    measured = Measurement(4, 2, {"harm": (1.0, 3.0, -2.0, 0.0)}, {"seed_sd": 0.5})
    assert harm_by_prompt(measured).tolist() == [4.0, -2.0]


@pytest.mark.parametrize(
    ("values", "summary", "name"), [({}, {"seed_sd": 1.0}, "harm"), ({"harm": (1.0,)}, {}, "seed_sd")]
)
def test_what_was_not_measured_is_named(values, summary, name):
    with pytest.raises(KeyError, match=name):
        harm_by_prompt(Measurement(1, 1, values, summary))

"""The settings of a healing, and the learning rate that they give."""

from __future__ import annotations

import pytest

from harness.errors import OptionError
from harness.healing.recipe import Recipe


def test_the_rate_rises_stays_and_falls_to_zero():
    recipe = Recipe(steps=100, rate=1e-3)
    rates = [recipe.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert rates[9:51] == [1e-3] * 42
    assert rates[75] == pytest.approx(0.5e-3)
    assert rates[99] == pytest.approx(2e-5)
    assert Recipe(steps=1).rate_at(0) == 1e-4


def test_the_images_that_are_seen_are_counted():
    assert Recipe(steps=10, batch=4, accumulate=3).images == 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "healing with steps 0: at least 1 is needed"),
        ({"batch": 0}, "healing with batch 0: at least 1 is needed"),
        ({"accumulate": 0}, "healing with accumulate 0"),
        ({"rate": 0.0}, "a learning rate of 0.0: it is above 0 and below 1"),
        ({"rate": 2.0}, "a learning rate of 2.0"),
        ({"lora_rank": -1}, "a rank or a weight below 0"),
        ({"feature_weight": -1.0}, "a rank or a weight below 0"),
    ],
)
def test_what_makes_no_training_is_named(changes, message):
    with pytest.raises(OptionError, match=message):
        Recipe(**changes)

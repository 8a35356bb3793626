"""A small healing that several files look at: FLUX with random weights, eight steps on two images."""

from __future__ import annotations

import pytest

from harness.healing.heal import Job
from harness.healing.recipe import Recipe
from harness.models.checkpoints.resolve import resolve
from harness.models.sampler import Sampler
from tests.helpers.models import SPECS

PROMPTS = ("a large red circle on a grey background", "a small blue cross on a black background")


@pytest.fixture(scope="session")
def flux_sampler(pipelines):
    """A sampler of FLUX with random weights."""
    return Sampler(pipelines["flux"], SPECS["flux"], resolve("flux-tiny").settings, batch=2)


@pytest.fixture
def small_job():
    """A function that makes a job of that sampler, with other settings where they are given."""

    def make(**changes):
        recipe = Recipe(**{"steps": 8, "batch": 2, "rate": 1e-3, **changes})
        return Job("flux-tiny", "0123456789ab", ["double: 0 2-4"], PROMPTS, recipe, "float32")

    return make

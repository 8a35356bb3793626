"""Scenes of the bundled world."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tiny import render, world
from harness.tiny.text import label


@pytest.fixture(scope="session")
def scenes():
    layouts = world.sample(1000, np.random.default_rng(0))
    return layouts, render.render(layouts)


@pytest.fixture(scope="session")
def asked():
    layouts = world.sample_split(400, np.random.default_rng(3), unseen=False)
    reverse = np.random.default_rng(4).random(400) < 0.5
    return world.captions(layouts, reverse), label(layouts, reverse)

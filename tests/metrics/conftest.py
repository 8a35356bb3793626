"""Built-in metrics on random weights, and the judge, each loaded once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.metrics import registry
from harness.metrics.judge import OpenClipJudge
from harness.metrics.registry import Asked
from harness.models.checkpoints.resolve import BUNDLED
from harness.tiny import render, world
from tests.helpers.extractors import write_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("metrics")
    write_weights(root)
    return root


@pytest.fixture(scope="session")
def metrics(places):
    return {name: registry.make(Asked(name, str(places / name)), CPU) for name in registry.BUILT_IN}


@pytest.fixture(scope="session")
def images():
    return render.render(world.sample_split(4, np.random.default_rng(20), unseen=True))


@pytest.fixture(scope="session")
def texts():
    return world.captions(world.sample_split(4, np.random.default_rng(20), unseen=True))


@pytest.fixture(scope="session")
def judge():
    return OpenClipJudge(BUNDLED / "judge", CPU)


@pytest.fixture(scope="session")
def scenes():
    layouts = world.sample_split(200, np.random.default_rng(12), unseen=True)
    return layouts, render.render(layouts), world.captions(layouts)

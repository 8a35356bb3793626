"""Samplers of small models with random weights."""

from __future__ import annotations

import dataclasses

import pytest

from harness.models.checkpoints.resolve import Settings
from harness.models.sampler import Sampler
from harness.tiny import render
from tests.helpers.models import SPECS


@pytest.fixture
def sampler(request, pipelines):
    name, changes = request.param if isinstance(request.param, tuple) else (request.param, {})
    settings = Settings(steps=3, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    return Sampler(pipelines[name], SPECS[name], dataclasses.replace(settings, **changes), batch=2)

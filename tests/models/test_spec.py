"""Families: their settings are their pipelines' own defaults."""

from __future__ import annotations

import inspect

import diffusers
import pytest

from harness.models.spec import FAMILIES


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_a_familys_settings_are_its_pipelines_own_defaults(family):
    call = inspect.signature(getattr(diffusers, family.pipeline).__call__).parameters
    settings = family.settings
    names = ("num_inference_steps", "guidance_scale", "max_sequence_length")
    assert (settings.steps, settings.guidance, settings.max_sequence_length) == tuple(call[n].default for n in names)

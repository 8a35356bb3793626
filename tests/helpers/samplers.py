"""Samplers of small random pipelines, and images under modifiers."""

from __future__ import annotations

from harness.ablation.modifiers import read_modifiers
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.modifiers.base import Calibrations
from harness.modifiers.run import modified
from harness.tiny import render
from tests.helpers.models import SPECS

PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross"]
PLACES = {"flux": "single-L02-07", "sd3": "joint-L02-05", "auraflow": "single-L01-02"}


def sampler_of(pipelines, family, steps=4):
    settings = Settings(steps=steps, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    return Sampler(pipelines[family], SPECS[family], settings, batch=2)


def latents(sampler, text, calibrations=None):
    """The latents under modifiers, and what they have counted as their cost."""
    calibrations = calibrations or Calibrations()
    with modified(sampler, read_modifiers(text), {}, PROMPTS, calibrations) as at_work:
        samples = sampler.sample(PROMPTS, 0, between=at_work)
    at_work.check()
    return samples.latents, at_work.counted_cost

"""Fewer denoising steps: the schedule of a pipeline that is asked for as many, and no other."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.ablation.modifiers import read_modifiers
from harness.errors import CaseError, SurgeryError
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.modifiers.base import Calibrations
from harness.modifiers.run import modified, sample_modified
from harness.tiny import render
from tests.helpers.models import SPECS

PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross"]
SETTINGS = Settings(steps=4, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)


@pytest.fixture(params=SPECS)
def sampler(request, pipelines):
    return Sampler(pipelines[request.param], SPECS[request.param], SETTINGS, batch=2)


def sampled(sampler, text):
    return sample_modified(
        sampler, PROMPTS, read_modifiers(text), {}, 0, calibration_prompts=PROMPTS, calibrations=Calibrations()
    ).latents


def test_it_is_a_sampler_that_takes_as_many(sampler):
    control = sampler.sample(PROMPTS, 0).latents
    short = Sampler(sampler.pipeline, sampler.family, dataclasses.replace(SETTINGS, steps=3), batch=2)
    assert torch.equal(sampled(sampler, "fewer-steps.3"), short.sample(PROMPTS, 0).latents)
    assert not torch.equal(sampled(sampler, "fewer-steps.3"), control)
    assert torch.equal(sampled(sampler, "fewer-steps.4"), control)
    assert sampler.settings == SETTINGS


def test_more_steps_than_the_control_takes_are_refused(sampler):
    with pytest.raises(CaseError, match=r"'fewer-steps.5': the control takes 4 denoising steps, no more"):
        sampled(sampler, "fewer-steps.5")


def test_steps_that_were_not_left_out_are_an_error(pipelines):
    sampler = Sampler(pipelines["flux"], SPECS["flux"], SETTINGS, batch=2)
    with modified(sampler, read_modifiers("fewer-steps.3"), {}, PROMPTS, Calibrations()) as at_work:
        sampler.settings = SETTINGS
        sampler.sample(PROMPTS, 0, between=at_work)
    with pytest.raises(SurgeryError, match=r"announced steps \[0, 1, 2, 3, 4\] where 3 were asked for"):
        at_work.check()

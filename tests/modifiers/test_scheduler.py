"""Other schedulers: the pipeline with that scheduler, made by hand, and the ones that it can't run."""

from __future__ import annotations

import diffusers
import pytest
import torch

from harness.errors import CaseError
from tests.helpers.models import SPECS
from tests.helpers.needs import needs
from tests.helpers.samplers import PROMPTS, latents, sampler_of

_SIGMAS = needs("diffusers.UniPCMultistepScheduler.set_timesteps", "sigmas")  # FLUX's pipeline hands them over


@pytest.mark.parametrize("family", [pytest.param(name, marks=_SIGMAS if name == "flux" else ()) for name in SPECS])
def test_it_is_the_pipeline_with_that_scheduler(pipelines, family):
    sampler = sampler_of(pipelines, family)
    own = sampler.pipeline.scheduler
    control = sampler.sample(PROMPTS, 0).latents
    other, cost = latents(sampler, "scheduler.unipc")
    assert sampler.pipeline.scheduler is own
    assert cost == 1
    sampler.pipeline.scheduler = diffusers.UniPCMultistepScheduler.from_config(
        own.config, prediction_type="flow_prediction", use_flow_sigmas=True
    )
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, other)
    sampler.pipeline.scheduler = own
    assert not torch.equal(other, control)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


def test_heun_evaluates_twice_a_step(pipelines):
    assert latents(sampler_of(pipelines, "sd3"), "scheduler.heun")[1] == 7 / 4


def test_a_scheduler_that_a_pipeline_cant_run_is_named(pipelines):
    sampler = sampler_of(pipelines, "flux")
    with pytest.raises(CaseError, match=r"'scheduler.heun': FluxPipeline can't run it: .* does not support custom"):
        latents(sampler, "scheduler.heun")

"""The teacher's images as examples: what is drawn of them, with which noise level, and that they are made once."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from harness.errors import PromptError
from harness.healing.examples import FIRST_SEED, draw_levels, make_examples
from harness.models.checkpoints.resolve import resolve
from harness.models.sampler import Sampler
from tests.helpers.models import SPECS

PROMPTS = ["a large red circle on a grey background", "a small blue cross on a black background"]


def sampler_of(pipelines, family, **changes):
    settings = dataclasses.replace(resolve(f"{family}-tiny").settings, **changes)
    return Sampler(pipelines[family], SPECS[family], settings, batch=2)


@pytest.mark.parametrize("family", ["flux", "sd3", "auraflow"])
def test_a_draw_is_a_mixture_of_an_image_and_noise_and_runs_in_the_transformer(family, pipelines, tmp_path):
    sampler = sampler_of(pipelines, family)
    examples = make_examples(sampler, PROMPTS, tmp_path)
    assert len(examples) == 2
    arguments = examples.draw(np.random.default_rng(3), 3, torch.device("cpu"), torch.float32).arguments
    # The same draw by hand, from the sampler's own images.
    latents = sampler.sample(PROMPTS, FIRST_SEED).latents
    rng = np.random.default_rng(3)
    rows, _ = rng.integers(2, size=3), rng.random(3)
    step = sampler.forward_arguments(PROMPTS)
    scale = 1000.0 if family == "sd3" else 1.0
    levels = [float(level) for level in sampler.pipeline.scheduler.sigmas]
    if len(levels) == 2:  # forward_arguments takes one step
        sampler.sample(PROMPTS, 0)
        levels = [float(level) for level in sampler.pipeline.scheduler.sigmas]
    t = draw_levels(rng, 3, levels[:-1])
    noise = rng.standard_normal(latents[rows].shape, dtype=np.float32)
    mix = torch.from_numpy(t).view(-1, *[1] * (latents.ndim - 1))
    assert torch.equal(arguments["hidden_states"], (1 - mix) * latents[rows] + mix * torch.from_numpy(noise))
    assert torch.allclose(arguments["timestep"].float(), scale * torch.from_numpy(t))
    assert step.keys() - {"return_dict"} == arguments.keys() - {"return_dict"}
    with torch.no_grad():
        out = sampler.transformer(**arguments)[0]
    assert torch.isfinite(out).all()


def test_under_guidance_some_draws_have_the_negative_prompt(pipelines, tmp_path):
    sampler = sampler_of(pipelines, "sd3", negative_prompt="blurry", guidance=2.0)
    examples = make_examples(sampler, PROMPTS, tmp_path)
    own = sampler.conditions(PROMPTS)
    drawn = examples.draw(np.random.default_rng(0), 200, torch.device("cpu"), torch.float32).arguments
    texts = drawn["encoder_hidden_states"]
    same = [sum(torch.equal(text, other) for text in texts) for other in own["prompt_embeds"]]
    negative = sum(torch.equal(text, own["negative_prompt_embeds"][0]) for text in texts)
    assert sum(same) + negative == 200
    assert 5 <= negative <= 40
    assert min(same) > 50


def test_levels_follow_the_schedule():
    rng = np.random.default_rng(0)
    plain = draw_levels(rng, 20_000, [1.0, 0.75, 0.5, 0.25])
    assert (plain.min() >= 0, plain.max() <= 1, plain.dtype) == (True, True, np.float32)
    assert np.mean(plain) == pytest.approx(0.5, abs=0.01)
    # Half uniform (.2 of it within .1 of the middle), half logit-normal (.31 of it).
    assert np.mean(abs(plain - 0.5) < 0.1) == pytest.approx(0.257, abs=0.02)
    shifted = draw_levels(np.random.default_rng(0), 20_000, [1.0, 0.9, 0.75, 0.5])
    assert np.mean(shifted) > 0.6  # the schedule stays in the noise for longer, and so do the draws


def test_what_was_made_is_not_made_again(pipelines, tmp_path, monkeypatch):
    sampler = sampler_of(pipelines, "flux")
    prompts = [*PROMPTS, "a small red square on a grey background"]
    whole = make_examples(sampler, prompts, tmp_path, images_per_prompt=2)
    assert len(whole) == 6
    wanted = whole.draw(np.random.default_rng(1), 6, torch.device("cpu"), torch.float32).arguments["hidden_states"]
    (tmp_path / "examples-00002.safetensors").unlink()  # as if it had been interrupted there
    calls = []
    sample = sampler.sample
    monkeypatch.setattr(sampler, "sample", lambda *args, **kwargs: calls.append(args) or sample(*args, **kwargs))
    counts = []
    again = make_examples(sampler, prompts, tmp_path, images_per_prompt=2, advance=counts.append)
    got = again.draw(np.random.default_rng(1), 6, torch.device("cpu"), torch.float32).arguments["hidden_states"]
    assert torch.equal(got, wanted)
    assert [seed for _, seed in calls] == [FIRST_SEED, FIRST_SEED + 1]  # the first batch, and the one that was missing
    assert counts == [2, 1, 2, 1]


def test_no_prompt_is_an_error(pipelines, tmp_path):
    with pytest.raises(PromptError, match="needs a prompt at least"):
        make_examples(sampler_of(pipelines, "flux"), [], tmp_path)

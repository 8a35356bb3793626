"""Qwen-Image-Layered by its adapter: one picture a call, and what comes back are its layers and their composite."""

from __future__ import annotations

import diffusers
import pytest
import torch

from harness.errors import CheckpointError
from harness.lab.pictures import by_prompt, drawn_pictures
from harness.models.checkpoints.resolve import resolve
from harness.models.families.layered import Layered
from harness.models.layers import composite
from harness.models.loading import load
from harness.models.sampler import Sampler, generator_for
from tests.helpers import pipelines

pytestmark = pytest.mark.skipif(
    not hasattr(diffusers, "QwenImageLayeredPipeline"), reason="this diffusers has no QwenImageLayeredPipeline"
)
PROMPTS = ["a large solid red circle on a white background", "a small striped blue cross on a grey background"]


@pytest.fixture(scope="module")
def sampler(tmp_path_factory):
    checkpoint = resolve(str(pipelines.save_layered(tmp_path_factory.mktemp("layered"))))
    made = Sampler(load(checkpoint, torch.device("cpu")), checkpoint.family, checkpoint.settings, batch=1)
    made.adapter.take_pictures(by_prompt(drawn_pictures(PROMPTS), 640))
    return made


def test_cached_embeddings_and_drawn_latents_are_what_the_pipeline_makes_of_text_and_generator(sampler):
    made = sampler.sample(PROMPTS, seed=1)
    (plain,) = sampler.pipeline(
        drawn_pictures(PROMPTS)[1].image,
        PROMPTS[1],
        layers=2,
        num_inference_steps=1,
        true_cfg_scale=1.0,
        generator=generator_for(PROMPTS[1], 1),
        output_type="pt",
    ).images
    assert (made.layers.shape, made.layers.dtype) == ((2, 2, 4, 640, 640), torch.uint8)
    assert torch.equal(made.layers[1], plain.clamp(0, 1).mul(255).round().to(torch.uint8))
    assert torch.equal(made.images, composite(made.layers.float() / 255))
    by_itself = sampler.sample_plainly(PROMPTS[1:], seed=1)
    assert torch.equal(made.latents[1:], by_itself.latents)
    assert torch.equal(made.layers[1:], by_itself.layers)


def test_the_picture_decides_what_comes_out_and_not_the_text_alone(sampler):
    first, second = (each.image for each in drawn_pictures(PROMPTS))
    before = sampler.sample(PROMPTS[:1], seed=0)
    sampler.adapter.take_pictures({PROMPTS[0]: second})
    after = sampler.sample(PROMPTS[:1], seed=0)
    sampler.adapter.take_pictures({PROMPTS[0]: first, PROMPTS[1]: second})
    assert not torch.equal(before.latents, after.latents)


def test_a_forward_is_of_one_picture_whatever_is_asked_for(sampler):
    arguments = sampler.forward_arguments(PROMPTS)
    assert arguments["hidden_states"].shape[0] == 1


def test_what_is_not_finite_is_a_constant_and_what_is_not_rgba_is_refused(sampler):
    adapter = sampler.adapter
    assert isinstance(adapter, Layered)
    broken = adapter.layers([torch.full((2, 4, 8, 8), torch.nan)])
    assert broken.shape == (1, 2, 4, 8, 8)
    assert broken.unique().tolist() == [128]
    with pytest.raises(CheckpointError, match=r"gives layers of 3 channels, not 4 \(RGBA\)"):
        adapter.layers([torch.zeros(2, 3, 8, 8)])

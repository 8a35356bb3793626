"""A perturbation on a loaded pipeline moves images by next to nothing."""

from __future__ import annotations

import pytest
import torch

from harness.gates.validation.perturb import apply_perturbation
from harness.gates.validation.perturbations import read
from harness.models.checkpoints.resolve import Settings
from harness.models.kernels import BACKENDS, KERNELS
from harness.models.sampler import Sampler
from harness.models.spec import FLUX
from harness.tiny import flux, render, vae
from tests.helpers.models import perturbed

PROMPTS = [f"a large solid {colour} circle on a grey background" for colour in ("red", "green", "blue")]


@pytest.fixture
def sampler(tmp_path):
    torch.manual_seed(0)
    pipeline = flux.build_pipeline(tmp_path, vae.build().eval())
    perturbed(pipeline.transformer)
    threads = torch.get_num_threads()
    settings = Settings(steps=2, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    yield Sampler(pipeline, FLUX, settings, batch=3)
    torch.set_num_threads(threads)
    KERNELS.set(BACKENDS)


@pytest.mark.parametrize("text", ["threads=1", "batch=1", "sdpa=math", "ulp=1", "ulp=3"])
def test_it_moves_images_by_next_to_nothing(sampler, text):
    before = sampler.sample(PROMPTS, seed=0)
    apply_perturbation(sampler, read(text))
    after = sampler.sample(PROMPTS, seed=0)
    torch.testing.assert_close(after.latents, before.latents, rtol=0, atol=2e-3)
    if text.startswith("ulp"):
        assert not torch.equal(after.latents, before.latents)
        assert after.sha256() == sampler.sample(PROMPTS, seed=0).sha256()


def test_a_step_of_the_last_bit_is_one(sampler):
    before = sampler.noise(PROMPTS, seed=0)
    sampler.ulps = 1
    after = sampler.noise(PROMPTS, seed=0)
    assert (after != before).all()
    assert torch.equal(torch.nextafter(before, after), after)
    assert 0.4 < (after > before).float().mean() < 0.6


def test_compiled_blocks_are_the_blocks(sampler):
    apply_perturbation(sampler, read("compile=1"))
    blocks = [*sampler.transformer.transformer_blocks, *sampler.transformer.single_transformer_blocks]
    assert all(block._compiled_call_impl is not None for block in blocks)

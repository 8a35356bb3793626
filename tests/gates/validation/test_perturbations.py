"""What must not matter: each perturbation is read, comes to work, and moves images by next to nothing."""

from __future__ import annotations

import pytest
import torch

from harness.errors import OptionError
from harness.gates.validation.perturb import apply_perturbation
from harness.gates.validation.perturbations import Perturbation, before_torch, choose, read
from harness.models.checkpoints.resolve import Settings
from harness.models.sampler import BACKENDS, KERNELS, Sampler
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threads", r"unknown perturbation 'threads'; there are threads=a number from 1, batch="),
        ("weather=1", "unknown perturbation 'weather=1'"),
        ("threads=0", "perturbation 'threads=0': threads is a number from 1"),
        ("cpu=avx7", "cpu is avx2 or default"),
        ("sdpa=fast", "sdpa is math or flash"),
    ],
)
def test_what_is_not_known_is_said(text, message):
    with pytest.raises(OptionError, match=message):
        read(text)


def test_reading_and_printing_are_inverse():
    for text in ("threads=1", "batch=16", "sdpa=math", "cpu=avx2", "ulp=1", "compile=1"):
        assert str(read(text)) == text


def test_the_instruction_set_must_come_before_torch(monkeypatch):
    with pytest.raises(OptionError, match="must be set before torch is loaded"):
        before_torch((Perturbation("cpu", "avx2"),))


def test_the_most_different_perturbations_come_first():
    assert [str(p) for p in choose(3, cores=2, batch=64, capability="AVX512")] == ["cpu=avx2", "batch=16", "threads=1"]
    assert [str(p) for p in choose(2, cores=2, batch=1, capability="sm90")] == ["ulp=1", "sdpa=math"]
    with pytest.raises(OptionError, match=r"there are 1 to \d+ perturbations to calibrate under here, not 99"):
        choose(99, cores=2, batch=64, capability="AVX2")

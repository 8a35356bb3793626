"""The control's images: made once a seed, taken from a cache bit for bit, and made anew where they are tested."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.ablation.plan import parse
from harness.lab.cache import Cache
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED
from harness.models.sampler import Sampler

PROMPTS = (BUNDLED / "prompts.txt").read_text().splitlines()[:3]


@pytest.fixture
def sampled(monkeypatch):
    """Every set of images that is made: its seed."""
    seeds = []
    sample = Sampler.sample

    def noted(self, prompts, seed, between=None):
        seeds.append(seed)
        return sample(self, prompts, seed, between)

    monkeypatch.setattr(Sampler, "sample", noted)
    return seeds


@pytest.fixture
def encoded(monkeypatch):
    """How many prompts were encoded at a time."""
    counts = []
    encode = Sampler.encode

    def noted(self, prompts):
        counts.append(sum(prompt not in self._conditions for prompt in prompts))
        encode(self, prompts)

    monkeypatch.setattr(Sampler, "encode", noted)
    return counts


def test_a_second_run_makes_the_variant_alone_and_measures_the_same(tmp_path, sampled, encoded):
    first = Lab("flux-tiny", prompts=PROMPTS, cache=Cache(tmp_path))
    before = first.run(parse("0 4"), "double").measurement
    assert sampled == [0, 1, 2, 3, 0]
    assert encoded[0] == len(PROMPTS)
    sampled.clear()
    encoded.clear()
    second = Lab("flux-tiny", prompts=PROMPTS, cache=Cache(tmp_path))
    after = second.run(parse("0 4"), "double").measurement
    assert sampled == [0]
    assert sum(encoded) == 0
    assert after == before
    assert second.control_measurement() == first.control_measurement()
    assert second.cache.notes == []


def test_a_run_that_tests_the_control_makes_it_and_keeps_what_it_made(tmp_path, sampled):
    Lab("flux-tiny", prompts=PROMPTS, cache=Cache(tmp_path)).control_measurement()
    for path in tmp_path.glob("*.safetensors"):
        path.unlink()
    sampled.clear()
    testing = Lab("flux-tiny", prompts=PROMPTS, cache=Cache(tmp_path))
    testing.makes_control = True
    testing.control_measurement()
    testing.control_measurement()
    assert sampled == [0, 1, 2, 3]
    sampled.clear()
    Lab("flux-tiny", prompts=PROMPTS, cache=Cache(tmp_path)).control_measurement()
    assert sampled == []


def test_nothing_is_taken_for_other_prompts_or_a_faulty_model(tmp_path, sampled):
    lab = Lab("flux-tiny", prompts=PROMPTS, cache=Cache(tmp_path))
    lab.control_measurement()
    sampled.clear()
    Lab("flux-tiny", prompts=PROMPTS[:2], cache=Cache(tmp_path)).control_measurement()
    assert sampled == [0, 1, 2, 3]
    sampled.clear()
    lab.anew().control_measurement()  # what a fault in the model is measured on
    assert sampled == [0, 1, 2, 3]


def test_with_stored_figures_only_the_measured_seed_is_made(sampled):
    whole = Lab("flux-tiny", prompts=PROMPTS)
    expected = whole.run(parse("0 4"), "double").measurement
    sampled.clear()
    lab = Lab("flux-tiny", prompts=PROMPTS)
    lab.take_control(whole.control.summary())
    measured = lab.run(parse("0 4"), "double").measurement
    assert sampled == [0, 0]
    assert measured.values == expected.values
    assert measured.latents_sha256 == expected.latents_sha256
    assert measured.summary == pytest.approx(expected.summary, rel=1e-9)
    control = lab.control_measurement()
    assert control.n == len(PROMPTS)
    assert control.summary["first_score"] == whole.control.summary()["first_score"]
    assert not {"score", "seed_sd", "reseed_latent"} & set(control.summary)  # they were not measured
    assert len(lab.control_seeds()) == 4
    assert sampled == [0, 0, 1, 2, 3]


def test_embeddings_don_t_depend_on_who_asks_first():
    timed, imaged = Lab("flux-tiny", prompts=PROMPTS), Lab("flux-tiny", prompts=PROMPTS)
    timed.timed_forward()
    assert timed.control.latents_sha256 == imaged.control.latents_sha256
    ours, theirs = (lab.sampler.all_conditions(PROMPTS) for lab in (timed, imaged))
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())
    np.testing.assert_array_equal(timed.control.scores, imaged.control.scores)

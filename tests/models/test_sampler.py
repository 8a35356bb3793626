"""Images of every family through its pipeline's own call: what is cached and given is what plain prompts give."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.errors import PromptError
from harness.models.checkpoints.resolve import Settings
from harness.models.sampler import Sampler
from harness.tiny import render
from tests.helpers.models import SPECS

PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross on a white background"]
LONG = " ".join(["a large solid red circle above"] * 3) + " a large solid red circle on a grey background"


@pytest.fixture
def sampler(request, pipelines):
    name, changes = request.param if isinstance(request.param, tuple) else (request.param, {})
    settings = Settings(steps=2, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    return Sampler(pipelines[name], SPECS[name], dataclasses.replace(settings, **changes), batch=2)


GUIDED = {"guidance": 2.5, "negative_prompt": "blurry"}
ALL = ["flux", "sd3", "auraflow", ("sd3", GUIDED), ("auraflow", GUIDED), ("sd3", {"guidance": 2.5})]
IDS = ["flux", "sd3", "auraflow", "sd3-guided", "auraflow-guided", "sd3-guided-from-empty"]


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_cached_prompts_and_drawn_latents_are_the_pipelines_own(sampler):
    given, plain = sampler.sample(PROMPTS, seed=3), sampler.sample_plainly(PROMPTS, seed=3)
    assert given.images.shape == (2, 3, render.SIDE, render.SIDE)
    torch.testing.assert_close(given.latents, plain.latents, rtol=0, atol=1e-5)
    assert given.sha256() == sampler.sample(PROMPTS, seed=3).sha256()
    assert given.sha256() != sampler.sample(PROMPTS, seed=4).sha256()


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_plain_prompts_are_sampled_in_the_same_batches(sampler, monkeypatch):
    """One call for all needs more memory than the sampling does, and in bfloat16 moved latents by .047."""
    sizes = []
    call = sampler._call
    monkeypatch.setattr(sampler, "batch", 1)

    def counting(given, **more):
        sizes.append(len(given["prompt"]))
        return call(given, **more)

    monkeypatch.setattr(sampler, "_call", counting)
    plain = sampler.sample_plainly(PROMPTS, seed=3)
    assert sizes == [1, 1]
    monkeypatch.setattr(sampler, "_call", call)
    assert torch.equal(plain.latents, sampler.sample(PROMPTS, seed=3).latents)


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_an_image_does_not_depend_on_its_neighbours(sampler):
    both = sampler.sample(PROMPTS, seed=3).latents
    alone = torch.cat([sampler.sample([prompt], seed=3).latents for prompt in PROMPTS])
    torch.testing.assert_close(both, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["sd3", "auraflow"])
def test_guidance_pushes_away_from_the_negative_prompt(pipelines, family):
    settings = Settings(steps=2, height=render.SIDE, width=render.SIDE, max_sequence_length=20)

    def latents(**changes):
        sampler = Sampler(pipelines[family], SPECS[family], dataclasses.replace(settings, **changes), batch=2)
        return sampler.sample(PROMPTS, seed=0).latents

    unguided = latents(guidance=1.0)
    assert torch.equal(latents(guidance=1.0, negative_prompt="blurry"), unguided)
    empty, blurry = latents(guidance=2.5), latents(guidance=2.5, negative_prompt="blurry")
    assert not torch.equal(empty, unguided)
    assert not torch.equal(blurry, empty)
    # Away from the very prompt there is nothing to push: v + w (v - v) = v.
    same = Sampler(
        pipelines[family],
        SPECS[family],
        dataclasses.replace(settings, guidance=2.5, negative_prompt=PROMPTS[0]),
        batch=2,
    ).sample(PROMPTS[:1], seed=0)
    torch.testing.assert_close(same.latents, unguided[:1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", ["flux", "auraflow"], indirect=True)
def test_a_prompt_that_would_lose_its_end_is_refused(sampler):
    name = "text_encoder_2" if sampler.adapter.text_encoders(sampler.pipeline, sampler.settings)[1:] else "text_encoder"
    with pytest.raises(PromptError, match=rf"prompt 2 has \d+ tokens, {name} takes 20 .*shorten it"):
        sampler.check([PROMPTS[0], LONG])


@pytest.mark.parametrize("sampler", [("sd3", {"max_sequence_length": 64})], indirect=True, ids=["sd3"])
def test_a_prompt_that_only_t5_reads_to_its_end_is_said(sampler, monkeypatch):
    assert sampler.check(PROMPTS) == []
    notes = sampler.check([*PROMPTS, LONG])
    assert notes == [
        "1 of 3 prompts are longer than the 20 tokens of text_encoder, which reads their beginnings",
        "1 of 3 prompts are longer than the 20 tokens of text_encoder_2, which reads their beginnings",
    ]
    # Without T5, as SD3 is run where memory is short, nobody reads the end.
    monkeypatch.setattr(sampler.pipeline, "text_encoder_3", None)
    with pytest.raises(PromptError, match=r"prompt 3 has .* text_encoder takes 20"):
        sampler.check([*PROMPTS, LONG])


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_forward_arguments_are_what_the_pipeline_passes(sampler):
    arguments = sampler.forward_arguments(PROMPTS)
    guided = sampler.settings.guidance > 1
    assert arguments["hidden_states"].shape[0] == (4 if guided else 2)
    with torch.no_grad():
        assert sampler.transformer(**arguments)[0].shape == arguments["hidden_states"].shape


@pytest.mark.parametrize("sampler", ["flux"], indirect=True)
def test_where_memory_does_not_suffice_the_batch_is_halved_once_and_said(sampler, monkeypatch):
    said, sizes = [], []
    call = sampler._call

    def limit(most):
        def limited(settings, **more):
            sizes.append(len(settings["latents"]))
            if sizes[-1] > most:
                raise torch.OutOfMemoryError
            return call(settings, **more)

        monkeypatch.setattr(sampler, "_call", limited)

    whole = sampler.sample(PROMPTS, seed=0)
    sampler.on_halved = said.append
    limit(1)
    halves = sampler.sample(PROMPTS, seed=0)
    assert sizes == [2, 1, 1]
    assert (said, sampler.batch, sampler.halved) == ([1], 1, True)
    torch.testing.assert_close(halves.latents, whole.latents, rtol=0, atol=1e-4)
    limit(0)
    with pytest.raises(torch.OutOfMemoryError):
        sampler.sample(PROMPTS, seed=0)
    assert said == [1]


@pytest.mark.parametrize("sampler", ["flux", "sd3", "auraflow"], indirect=True)
def test_parked_text_encoders_are_out_of_the_way_and_come_back(sampler):
    components = dict(sampler.pipeline.components)
    names = {name for name in components if name.startswith("text_encoder")}
    before = sampler.sample(PROMPTS[:1], seed=0)
    sampler.park_encoders()
    try:
        assert all(getattr(sampler.pipeline, name) is None for name in names)
        assert torch.equal(sampler.sample(PROMPTS[:1], seed=0).latents, before.latents)
        assert all(getattr(sampler.pipeline, name) is None for name in names)
        sampler.sample(PROMPTS[1:], seed=0)  # a prompt that was not encoded yet
        assert all(getattr(sampler.pipeline, name) is components[name] for name in names)
        sampler.park_encoders()
        plain = sampler.sample_plainly(PROMPTS[:1], seed=0)
        torch.testing.assert_close(plain.latents, before.latents, rtol=0, atol=1e-4)
    finally:
        sampler.fetch_encoders()
    assert dict(sampler.pipeline.components) == components


@pytest.mark.parametrize("sampler", ["flux"], indirect=True)
def test_embeddings_that_were_kept_are_taken(sampler):
    kept = sampler.all_conditions(PROMPTS)
    before = sampler.sample(PROMPTS, seed=0)
    sampler.forget()
    sampler.take_conditions(PROMPTS, kept)
    sampler.park_encoders()
    try:
        assert torch.equal(sampler.sample(PROMPTS, seed=0).latents, before.latents)
        assert all(value is None for name, value in sampler.pipeline.components.items() if "text_encoder" in name)
    finally:
        sampler.fetch_encoders()

"""The states that are read: the conditional half, without pads."""

from __future__ import annotations

import pytest
import torch

from harness.analysis.hidden_states import content, watch_states
from harness.errors import SurgeryError
from harness.models.checkpoints.resolve import Settings
from harness.models.sampler import Sampler
from harness.models.stacks import stacks
from harness.surgery.view import ablate
from harness.tiny import render
from tests.helpers import stored
from tests.helpers.captures import ALL, IDS, PROMPTS, capture
from tests.helpers.models import SPECS


class Keeps:
    """A watcher that keeps everything."""

    def __init__(self):
        self.seen, self.ended, self.timesteps = {}, 0, []

    def begin(self, timestep):
        self.timesteps.append(timestep)

    def take(self, stack, states):
        self.seen.setdefault(stack, []).append(states)

    def end(self):
        self.ended += 1


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_states_are_the_conditional_half_from_what_enters_block_0(sampler):
    model = sampler.transformer
    keeps, text = Keeps(), content(sampler, PROMPTS[:2]).shape[1]
    with stored.stored(model) as forwards, watch_states(model, 2, text, keeps):
        sampler.sample(PROMPTS[:2], 0)
    assert keeps.ended == len(forwards) == 3
    assert keeps.timesteps == [f["timestep"] for f in forwards]
    # The embeddings say which half is conditional: the prompts' own.
    given = forwards[0]["text"]
    own = sampler.conditions(PROMPTS[:2])["prompt_embeds"]
    assert len(given) == (4 if sampler.settings.guidance > 1 else 2)
    assert torch.equal(given[-2:], own)
    assert len(given) == 2 or not torch.equal(given[:2], own)
    for stack in stacks(model):
        first, *_ = keeps.seen[stack]
        expected = stored.states(model, forwards[0], stack, text)
        for name in ("image", "text"):
            assert torch.equal(first[name][0], expected[name][0][-2:])
            assert torch.equal(first[name][-1], expected[name][-1][-2:])
    names = list(stacks(model))
    if len(names) == 2:  # what leaves the one stack enters the other, so their angles go on without a gap
        for name in ("image", "text"):
            assert torch.equal(keeps.seen[names[0]][0][name][-1], keeps.seen[names[1]][0][name][0])


@pytest.mark.parametrize("sampler", ["flux", "sd3", "auraflow"], indirect=True)
def test_pads_are_no_content(sampler):
    found = content(sampler, PROMPTS)
    for row, prompt in zip(found, PROMPTS, strict=True):
        assert row.nonzero().flatten().tolist() == stored.text_tokens(sampler.family.name, prompt)


def test_without_t5_the_rest_of_sd3s_text_is_pads(pipelines):
    pipeline = pipelines["sd3"]
    settings = Settings(steps=1, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    encoder, tokenizer = pipeline.text_encoder_3, pipeline.tokenizer_3
    pipeline.text_encoder_3 = pipeline.tokenizer_3 = None
    try:
        sampler = Sampler(pipeline, SPECS["sd3"], settings, batch=2)
        found = content(sampler, PROMPTS)
        assert found.shape == (3, sampler.conditions(PROMPTS)["prompt_embeds"].shape[1])
        assert found.sum(dim=1).tolist() == [len(p.split()) + 2 for p in PROMPTS]
        capture(sampler, PROMPTS[:2], draws=3)
    finally:
        pipeline.text_encoder_3, pipeline.tokenizer_3 = encoder, tokenizer


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_a_forward_that_broke_off_leaves_nothing_to_the_next(pipelines):
    settings = Settings(steps=1, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=2)
    keeps = Keeps()
    third = sampler.transformer.single_transformer_blocks[3]
    with watch_states(sampler.transformer, 2, 20, keeps):
        handle = third.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sampler.sample(PROMPTS[:2], 0)
        handle.remove()
        sampler.sample(PROMPTS[:2], 0)
    assert keeps.ended == 1
    assert [len(s["image"]) for s in keeps.seen["single"]] == [11]


@pytest.mark.parametrize(
    ("plan", "match"), [("0 2-4", "block 2 ran where block 1 should have"), ("0-3", "4 of its 5 blocks ran")]
)
def test_a_model_under_a_plan_is_refused(pipelines, plan, match):
    settings = Settings(steps=1, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=2)
    with ablate(sampler.transformer, plan, "double"), pytest.raises(SurgeryError, match=match):
        capture(sampler)
    assert hooks(sampler.transformer) == 0


def test_rows_and_text_tokens_that_do_not_fit_are_named(pipelines):
    settings = Settings(steps=1, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=3)
    with watch_states(sampler.transformer, 2, 20, Keeps()), pytest.raises(SurgeryError, match="3 rows for 2 prompts"):
        sampler.sample(PROMPTS, 0)
    with (
        watch_states(sampler.transformer, 3, 21, Keeps()),
        pytest.raises(SurgeryError, match=r"20 text tokens.* give 21"),
    ):
        sampler.sample(PROMPTS, 0)

"""What an image takes outside its forwards, and the time of an ablated image that follows from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.ablation.case import by_hand
from harness.lab import timed_forwards
from harness.lab.image_time import measure_image_time
from harness.lab.latency import measure_latency
from harness.surgery.view import ablate

BLOCK, DECODER, FORWARD = 1.0, 7.0, 2.0


@pytest.fixture
def clock(lab, monkeypatch):
    """A clock that goes on by what runs: one second a block, two more a forward, seven a decoded batch."""
    at = [0.0]

    def going_on(seconds):
        return lambda *_: at.__setitem__(0, at[0] + seconds)

    transformer = lab.transformer
    timed = [(block, BLOCK) for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks)]
    timed += [(lab.sampler.pipeline.vae.decoder, DECODER), (transformer.proj_out, FORWARD)]
    hooks = [part.register_forward_pre_hook(going_on(seconds)) for part, seconds in timed]
    monkeypatch.setattr(timed_forwards, "time", SimpleNamespace(perf_counter=lambda: at[0]))
    vars(lab).pop("image_time", None)
    yield lambda: at[0]
    vars(lab).pop("image_time", None)
    for hook in hooks:
        hook.remove()


def test_what_is_outside_is_all_but_the_forwards(lab, clock):
    image = measure_image_time(lab.sampler, lab.prompts[:2], lab.device)
    assert image.forwards == lab.checkpoint.settings.steps == 4
    assert image.outside == DECODER / 2  # seconds per image


def test_the_time_of_an_ablated_image_is_what_its_pipeline_takes(lab, clock):
    plan = "double: 0-1 4"
    latency = measure_latency(lab, by_hand("flux-tiny", lab.checkpoint.stacks, plan), rounds=4)
    for context, told in ((None, latency.control_image_seconds), (plan, latency.image_seconds)):
        start = clock()
        if context is None:
            lab.sampler.sample_plainly(lab.prompts[:4], seed=0)
        else:
            with ablate(lab.transformer, context):
                lab.sampler.sample_plainly(lab.prompts[:4], seed=0)
        assert told == pytest.approx((clock() - start) / 4)
    assert latency.image_speed_up == (DECODER + 4 * (15 + FORWARD)) / (DECODER + 4 * (13 + FORWARD))


def test_no_hook_is_left(lab):
    measure_image_time(lab.sampler, lab.prompts[:2], lab.device)
    assert not lab.transformer._forward_hooks
    assert not lab.transformer._forward_pre_hooks

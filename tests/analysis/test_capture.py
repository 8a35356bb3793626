"""Capture on the sampling trajectory: against stored activations, without a trace left behind, in flat memory."""

from __future__ import annotations

import dataclasses
import gc
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.analysis.capture import (
    BINS,
    DRAWS,
    Collector,
    batches,
    collecting,
    cut,
    on_trajectory,
    without_caching_prompts,
)
from harness.analysis.hidden_states import clock, watch_states
from harness.analysis.profile import STREAMS
from harness.analysis.similarity import CHUNK, TOKENS
from harness.errors import CheckpointError, OptionError, PromptError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import Settings
from harness.models.sampler import Sampler
from harness.tiny import render
from tests.helpers import stored
from tests.helpers.captures import ALL, GUIDED, IDS, PROMPTS, capture
from tests.helpers.models import SPECS

COPIES = 3  # of a chunk, while a stack is measured


def by_hand(sampler, edges, prompts=PROMPTS, draws=30):
    """The slow reference over the trajectory."""
    parts = []
    for part in batches(sampler, len(prompts)):
        with stored.stored(sampler.transformer) as forwards:
            sampler.sample(prompts[part], 0)
        parts.append((prompts[part], forwards))
    scale = 1000 if sampler.family.name == "sd3" else 1
    return stored.reference(sampler.transformer, sampler.family.name, parts, lambda t: t / scale, edges, draws)


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_running_sums_are_what_stored_activations_give(sampler):
    """Three prompts in two batches, with pads, several steps in one bin."""
    profile = capture(sampler, bins=2, draws=30)
    assert profile.edges.tolist() == [0, 0.5, 1]
    assert profile.prompts == 3
    stored.assert_same(profile, by_hand(sampler, profile.edges))


@pytest.mark.parametrize("name", ["flux-tiny", "sd3-tiny", "auraflow-tiny"])
def test_running_sums_of_trained_models_too(name):
    lab = Lab(name, prompts=PROMPTS[::2])
    profile = on_trajectory(lab.sampler, lab.checkpoint, lab.prompts, draws=30)
    assert dict(profile.lengths) == dict(lab.checkpoint.stacks)
    steps = lab.checkpoint.settings.steps
    assert all(stream.count.tolist() == [2] * steps for stream in profile.streams)  # a bin a step
    stored.assert_same(profile, by_hand(lab.sampler, profile.edges, lab.prompts))
    assert lab.transformer is lab.sampler.transformer


@pytest.mark.parametrize("sampler", ALL, indirect=True, ids=IDS)
def test_a_stack_of_l_blocks_has_l_plus_one_states(sampler):
    profile = capture(sampler, PROMPTS[:1], draws=3)
    for stack, length in profile.lengths.items():
        assert profile.stream(stack, "image").cosine.shape[-1] == length + 1
        without = sampler.family.name == "sd3"  # its last block gives no text
        assert profile.stream(stack, "text").cosine.shape[-1] == length + (not without)


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


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize("sampler", ["flux", ("sd3", GUIDED), ("auraflow", GUIDED)], indirect=True)
def test_images_are_the_same_while_captured_and_nothing_stays(sampler, monkeypatch):
    before = sampler.sample(PROMPTS, 0)
    model, own = sampler.transformer, Sampler.sample
    made = []

    def keep(self, prompts, seed):
        made.append(own(self, prompts, seed))
        assert hooks(model)
        return made[-1]

    monkeypatch.setattr(Sampler, "sample", keep)
    capture(sampler, draws=3)
    assert torch.equal(torch.cat([s.latents for s in made]), before.latents)
    assert torch.equal(torch.cat([s.images for s in made]), before.images)
    assert hooks(model) == 0

    def broken(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        capture(sampler, sink=broken)
    assert hooks(model) == 0
    assert torch.equal(own(sampler, PROMPTS, 0).latents, before.latents)


@pytest.mark.parametrize("sampler", ["flux", ("sd3", GUIDED), "auraflow"], indirect=True)
@pytest.mark.parametrize("reduction", ["mean", "last"])
def test_the_sink_hears_of_every_sample(sampler, reduction):
    told = []
    profile = capture(sampler, draws=3, sink=lambda *record: told.append(record), reduction=reduction)
    assert len(told) == 3 * 3
    field = "angular" if reduction == "mean" else "angular_last"
    for place, name in ((1, "image"), (2, "text")):
        whole = [getattr(profile.stream(stack, name), field) for stack in profile.lengths]
        lengths = sum(row.shape[1] for row in whole)
        assert {len(record[place]) for record in told} == {lengths}
        for index in range(3):  # bins, by rising level
            level = sorted({record[0] for record in told})[index]
            mean = np.mean([record[place] for record in told if record[0] == level], axis=0)
            np.testing.assert_allclose(mean, np.concatenate([table[index] for table in whole]), atol=1e-12)
    np.testing.assert_allclose(
        sorted({r[0] for r in told}), sorted(float(s) for s in sampler.pipeline.scheduler.sigmas[:-1])
    )


@pytest.mark.parametrize("sampler", ["flux", "sd3", "auraflow"], indirect=True)
def test_noise_levels_are_the_schedulers(sampler):
    """Whatever the pipeline passes to the model: SD3 0..1000, the others 0..1."""
    sampler.sample(PROMPTS[:1], 0)
    first = 1000.0 if sampler.family.name == "sd3" else 1.0
    found = clock(sampler.pipeline, first)
    assert found.scale == first
    sigmas = [float(s) for s in sampler.pipeline.scheduler.sigmas]
    assert list(found.levels) == sigmas[:-1]
    for sigma in found.levels:
        rounded = float(torch.tensor(sigma * first).bfloat16())
        assert found.level(rounded) == sigma
    with pytest.raises(CheckpointError, match="the timestep 37: neither sigma nor 1000 times it, nor 1 minus it"):
        clock(sampler.pipeline, 37.0)


def test_a_time_that_counts_upwards_is_one_minus_the_level():
    """As Lumina 2 passes it; its first step is all noise."""

    class Scheduler:
        timesteps, sigmas = (1000.0, 750.0, 300.0), (1.0, 0.75, 0.3, 0.0)
        config = SimpleNamespace(num_train_timesteps=1000)

    upwards = clock(SimpleNamespace(scheduler=Scheduler()), 0.0)
    assert (upwards.scale, upwards.upwards, upwards.levels) == (1.0, True, (1.0, 0.75, 0.3))
    assert upwards.level(0.25) == 0.75
    assert upwards.timestep(torch.tensor([1.0, 0.25])).tolist() == [0.0, 0.75]


def test_a_scheduler_without_noise_levels_is_named(pipelines):
    class Other:
        timesteps = (1, 2)

    class Pipeline:
        scheduler = Other()

    with pytest.raises(CheckpointError, match="scheduler Other has no noise levels"):
        clock(Pipeline(), 1.0)


def test_bins():
    assert cut([1.0, 0.6, 0.2], None).tolist() == pytest.approx([0, 0.4, 0.8, 1])
    assert cut([0.5], None).tolist() == [0, 1]
    many = np.linspace(1, 0.05, 11)
    np.testing.assert_allclose(cut(many, None), np.linspace(0, 1, 11))
    np.testing.assert_allclose(cut(many, 4), [0, 0.25, 0.5, 0.75, 1])
    collector = Collector()
    collector.edges = cut([1.0, 0.6, 0.2], None)
    assert [collector.where(x) for x in (0.0, 0.2, 0.6, 0.8, 1.0)] == [0, 0, 1, 2, 2]


@pytest.mark.parametrize("sampler", ["flux"], indirect=True)
def test_what_can_not_be_asked_for(sampler):
    with pytest.raises(OptionError, match="0 bins"):
        capture(sampler, bins=0)
    with pytest.raises(OptionError, match="unknown reduction 'max'"):
        capture(sampler, reduction="max")
    with pytest.raises(PromptError, match="without a prompt"):
        capture(sampler, [])


def held(root):
    """(bytes of every array and tensor, number of objects) that can be reached from an object."""
    seen, todo, total = set(), [root], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            total += one.nbytes
        elif isinstance(one, torch.Tensor):
            total += one.numel() * one.element_size()
        todo += gc.get_referents(one)
    return total, len(seen)


def tensors():
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())


def test_memory_grows_neither_with_prompts_nor_with_steps(pipelines):
    prompts = [f"a {size} {texture} {colour} {shape}" for size in ("large", "small") for texture in ("solid", "striped")
               for colour in ("red", "blue") for shape in ("circle", "cross", "square", "triangle")]  # fmt: skip
    assert len(prompts) == 32
    settings = Settings(steps=1, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)

    def after(count, steps):
        sampler = Sampler(pipelines["flux"], SPECS["flux"], dataclasses.replace(settings, steps=steps), batch=4)
        sampler.conditions(prompts[:1])
        collector = Collector(draws=20)
        collector.edges = cut([], 4)
        for part in batches(sampler, count):
            with (
                without_caching_prompts(sampler),
                collecting(sampler, collector, prompts[part], lambda timestep: timestep),
            ):
                sampler.sample(prompts[part], 0)
        assert list(sampler._conditions) == prompts[:1]  # what was there stays, what was added doesn't
        return held(collector), tensors()

    few = after(4, 1)
    assert few[0][0] > 0
    assert after(32, 1) == few
    assert after(4, 6) == few


def memory(lengths, image, text, width, *, itemsize=2, batch=1, bins=BINS, draws=DRAWS):
    """Bytes (beside the forward on the device, for the sums in main memory) to capture stacks of so many blocks.

    With so many tokens of each stream, ``batch`` prompts at once. An upper bound: a stack that gives no text in the end
    (SD3) has a state less.
    """
    depth = max(lengths) + 1
    states = depth * (image + text) * width * itemsize * batch
    chunk = max(CHUNK, depth * width * 8)  # one token at least
    kernels = depth * min(TOKENS, max(image, text)) ** 2 * 8
    sums = sum(
        8 * (bins * (3 * d * d + 2 * (d - 1) + 1) + draws * (d * d + 2 * d - 1))
        for d in (length + 1 for length in lengths)
    )
    return states + COPIES * chunk + kernels, len(STREAMS) * sums


def test_the_memory_that_is_said_is_the_memory_that_is_held(pipelines):
    """FLUX.1 at 1024 px as the module says; and on a small model the bytes of all states of a stack, counted."""
    device, main = memory([19, 38], image=4096, text=512, width=3072)
    assert device == 39 * 28_311_552 + COPIES * CHUNK + 39 * 256 * 256 * 8
    assert round(device / 1e9, 2) == 1.33
    assert round(main / 1e6, 1) == 7.5
    assert memory([19, 38], 4096, 512, 3072, batch=2)[0] - device == 39 * 28_311_552
    settings = Settings(steps=1, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=2)
    keeps = Keeps()
    with watch_states(sampler.transformer, 2, 20, keeps):
        sampler.sample(PROMPTS[:2], 0)
    one = keeps.seen["single"][0]
    found = sum(t.untyped_storage().nbytes() for t in (*one["image"], *one["text"]))
    small, _ = memory([5, 10], image=25, text=20, width=96, itemsize=4, batch=2)
    assert small == found + COPIES * CHUNK + 11 * 25 * 25 * 8
    collector = Collector(draws=20)
    collector.edges = cut([], 4)
    with collecting(sampler, collector, PROMPTS[:2], lambda timestep: timestep):
        sampler.sample(PROMPTS[:2], 0)
    _, exact = memory([5, 10], 25, 20, 96, bins=4, draws=20)
    assert held(collector._sums)[0] == exact

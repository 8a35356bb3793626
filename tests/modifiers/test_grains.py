"""The modifiers of ranges on every family's sampling: they change images, and leave the model as it was."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.modifiers import read_modifiers
from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.attention_edges import cut_edges, parse_edges
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.modifiers.base import Calibrations
from harness.modifiers.run import modified, sample_modified
from harness.tiny import render
from tests.helpers.models import SPECS

PROMPTS = ["a large solid red circle on a grey background", "a small striped red cross on a black background"]
GUIDANCE = {"flux": 1.0, "sd3": 2.5, "auraflow": 2.5}
STACK = {"flux": "single", "sd3": "joint", "auraflow": "double"}
INNER = (
    "cut-edges.it",
    "freeze-norm",
    "token-exit.text-dropped",
    "token-exit.text-frozen",
    "token-exit.image-frozen",
    "clamp-neurons.red.n8",
    "surrogate.linear",
    "surrogate.mean.b2",
)


@pytest.fixture(params=["flux", "sd3", "auraflow"])
def sampler(request, pipelines):
    family = request.param
    settings = Settings(
        steps=2, guidance=GUIDANCE[family], height=render.SIDE, width=render.SIDE, max_sequence_length=20
    )
    return Sampler(pipelines[family], SPECS[family], settings, batch=2)


def placed(sampler, text, place="L01-02"):
    place = "L02" if text.startswith("token-exit") else place
    return read_modifiers(f"{STACK[sampler.family.name]}-{place}-{text}")


def sampled(sampler, text, plans=(), calibrations=None, place="L01-02"):
    return sample_modified(
        sampler,
        PROMPTS,
        placed(sampler, text, place),
        dict(plans),
        0,
        calibration_prompts=PROMPTS,
        calibrations=calibrations or Calibrations(),
    ).latents


def test_each_changes_the_images_and_then_the_model_is_bitwise_itself(sampler):
    control = sampler.sample(PROMPTS, 0).latents
    calibrations = Calibrations()
    latents = [sampled(sampler, text, calibrations=calibrations) for text in INNER]
    assert all(torch.isfinite(one).all() for one in latents)
    assert all((one - control).abs().max() > 1e-4 for one in latents)
    assert all(not torch.equal(a, b) for i, a in enumerate(latents) for b in latents[:i])
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)
    modules = list(sampler.transformer.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_in_all_steps_it_is_the_context_manager_around_the_sampling(sampler):
    with cut_edges(sampler.transformer, STACK[sampler.family.name], Span(1, 2), parse_edges("it-ti")):
        expected = sampler.sample(PROMPTS, 0).latents
    assert torch.equal(sampled(sampler, "cut-edges.it-ti"), expected)


def test_in_a_window_it_holds_in_those_steps_alone(sampler):
    stack = STACK[sampler.family.name]
    contexts = []

    def between(step):
        while contexts:
            contexts.pop().__exit__(None, None, None)
        if step == 1:
            contexts.append(cut_edges(sampler.transformer, stack, Span(1, 2), parse_edges("ii")))
            contexts[-1].__enter__()

    expected = sampler.sample(PROMPTS, 0, between=between).latents
    assert torch.equal(sampled(sampler, "cut-edges.ii-steps-1"), expected)
    assert not torch.equal(sampled(sampler, "cut-edges.ii"), expected)


@pytest.mark.parametrize("text", ["freeze-norm", "surrogate.linear", "token-exit.text-dropped"])
def test_it_goes_with_a_plan_of_its_stack(sampler, text):
    stack = STACK[sampler.family.name]
    plan = parse("0 2-11" if stack == "joint" else "0 2-9" if stack == "single" else "0 2-5")
    alone = sampled(sampler, text)
    both = sampled(sampler, text, {stack: plan})
    assert torch.isfinite(both).all()
    if text.startswith("surrogate"):  # the range's positions are its own, whatever the plan runs there
        assert torch.equal(alone, both)
    else:
        assert not torch.equal(alone, both)


def test_what_is_calibrated_is_measured_once(sampler):
    calibrations = Calibrations()
    first = sampled(sampler, "freeze-norm", calibrations=calibrations)
    forwards = []
    handle = sampler.transformer.register_forward_pre_hook(lambda *_: forwards.append(1))
    again = sampled(sampler, "freeze-norm", calibrations=calibrations)
    handle.remove()
    assert torch.equal(first, again)
    assert len(forwards) == sampler.settings.steps  # the images alone


def test_an_exception_while_sampling_stays_the_one_that_is_told(sampler):
    def fail():
        with modified(sampler, placed(sampler, "cut-edges.it"), {}, PROMPTS, Calibrations()) as at_work:
            at_work(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not any(module._forward_pre_hooks for module in sampler.transformer.modules())


def test_wrong_input_is_named(sampler):
    stack = STACK[sampler.family.name]
    with pytest.raises(CaseError, match="leaves after one block"):
        sample_modified(
            sampler,
            PROMPTS,
            read_modifiers(f"{stack}-L01-02-token-exit.text-dropped"),
            {},
            0,
            calibration_prompts=PROMPTS,
            calibrations=Calibrations(),
        )
    with pytest.raises(CaseError, match="0 of 2 prompts have the word 'cyan'"):
        sampled(sampler, "clamp-neurons.cyan")
    with pytest.raises(CaseError, match="9999 neurons asked for"):
        sampled(sampler, "clamp-neurons.red.n9999")


def test_after_the_last_block_nothing_leaves_and_that_is_told(pipelines):
    settings = Settings(steps=2, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=2)
    with pytest.raises(SurgeryError, match="no block of the range was changed"):
        sample_modified(
            sampler,
            PROMPTS,
            read_modifiers("single-L09-token-exit.text-dropped"),
            {},
            0,
            calibration_prompts=PROMPTS,
            calibrations=Calibrations(),
        )

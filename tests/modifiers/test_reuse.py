"""Residual reuse against a plain loop over the blocks, on every family, alone and on a plan."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from harness.ablation.modifiers import PlacedModifier, read_modifiers
from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.errors import SurgeryError
from harness.models.forward_output import output_of
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.models.stacks import find_stack
from harness.modifiers.base import Calibrations, Target
from harness.modifiers.reuse import ResidualReuse
from harness.modifiers.run import modified, sample_modified
from harness.tiny import render
from tests.helpers.models import SPECS
from tests.helpers.small_models import small

PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross", "a large blue square"]
GUIDANCE = {"flux": 1.0, "sd3": 2.5, "auraflow": 2.5}
RANGES = {"flux": "single-L02-07", "sd3": "joint-L08-11", "auraflow": "single-L00-01"}  # SD3's last gives no text


class TrueCfg(Sampler):
    """FLUX's true guidance: two forwards a step, each with updates of its own."""

    def conditions(self, prompts):
        found, other = (super(TrueCfg, self).conditions(p) for p in (prompts, [PROMPTS[-1]] * len(prompts)))
        return {**found, **{f"negative_{name}": value for name, value in other.items()}}

    def _call(self, given, **more):
        return super()._call({**given, "true_cfg_scale": 2.0}, **more)


@pytest.fixture(params=["flux", "flux-true", "sd3", "auraflow"])
def sampler(request, pipelines):
    family = request.param.split("-")[0]
    settings = Settings(steps=4, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    kind = TrueCfg if request.param == "flux-true" else Sampler
    settings = dataclasses.replace(settings, guidance=GUIDANCE[family])
    return kind(pipelines[family], SPECS[family], settings, batch=2)


def sampled(sampler, text, plans=()):
    plans = dict(plans)
    return sample_modified(
        sampler, PROMPTS, read_modifiers(text), plans, 0, calibration_prompts=PROMPTS, calibrations=Calibrations()
    ).latents


def plainly(sampler, reused, plan=None):
    """The same by hooks on the blocks: each runs, and in steps of ``reused`` the range's end gets the kept update.

    What the range's blocks compute in between is thrown away, as what enters the range is passed on from its end.
    """
    stack, _, place = RANGES[sampler.family.name].partition("-L")
    first, _, last = place.partition("-")
    blocks = getattr(sampler.transformer, find_stack(sampler.transformer, stack)[1])
    at, entered, kept = {"step": 0, "forward": -1}, {}, {}

    def split(out):
        return out if isinstance(out, tuple) else (out,)

    def enter(_block, args, kwargs):
        at["forward"] += 1
        # FLUX's single blocks since 0.35, SD3's and double ones: text and image; else one tensor.
        names = ("encoder_hidden_states", "hidden_states") if "encoder_hidden_states" in kwargs else ("hidden_states",)
        entered["x"] = tuple(kwargs[name] for name in names)

    def leave(_block, _args, out):
        parts = split(out)
        ends = [x if part is None else part for x, part in zip(entered["x"], parts, strict=True)]
        if at["step"] in reused:
            ends = [x + d for x, d in zip(entered["x"], kept[at["forward"]], strict=True)]
        else:
            kept[at["forward"]] = [end - x for x, end in zip(entered["x"], ends, strict=True)]
        # A text that SD3's last block doesn't give stays away.
        ends = [None if part is None else end for part, end in zip(parts, ends, strict=True)]
        return tuple(ends) if isinstance(out, tuple) else ends[0]

    def between(step):
        at["step"], at["forward"] = step, -1

    handles = [
        blocks[int(first)].register_forward_pre_hook(enter, with_kwargs=True),
        blocks[int(last)].register_forward_hook(leave),
    ]
    try:
        return sampler.sample(PROMPTS, 0, between=between).latents
    finally:
        for handle in handles:
            handle.remove()


def test_every_step_computed_is_bitwise_the_control(sampler):
    control = sampler.sample(PROMPTS, 0).latents
    assert torch.equal(sampled(sampler, f"{RANGES[sampler.family.name]}-reuse.n1"), control)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


@pytest.mark.parametrize(("ending", "reused"), [("n2", {1, 3}), ("n9", {1, 2, 3}), ("n2-steps-1-3", {2})])
def test_it_is_bitwise_the_plain_reference_and_changes_the_images(sampler, ending, reused):
    control = sampler.sample(PROMPTS, 0).latents
    latents = sampled(sampler, f"{RANGES[sampler.family.name]}-reuse.{ending}")
    assert torch.equal(latents, plainly(sampler, reused))
    assert not torch.equal(latents, control)
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


def test_the_range_is_skipped_where_its_plan_is_and_blocks_are_counted(pipelines):
    settings = Settings(steps=4, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=3)
    plan = {"single": parse("0-3 5-9")}
    with modified(sampler, read_modifiers("single-L02-07-reuse.n2"), plan, PROMPTS, Calibrations()) as at_work:
        sampler.sample(PROMPTS, 0, between=at_work)
    counts = at_work.check()
    assert counts.block_runs == 4 * 5 + 2 * 9 + 2 * 4  # blocks 2-7 without 4 run in steps 0 and 2
    assert (counts.batches, counts.steps, counts.forwards) == (1, 4, 4)
    alone = sampled(sampler, "single-L02-07-reuse.n2")
    assert not torch.equal(sampled(sampler, "single-L02-07-reuse.n2", plan), alone)


def test_an_update_that_is_never_reused_is_an_error(pipelines):
    settings = Settings(steps=4, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    sampler = Sampler(pipelines["flux"], SPECS["flux"], settings, batch=3)
    before = list(sampler.transformer.single_transformer_blocks)
    with modified(sampler, read_modifiers("single-L02-07-reuse.n2"), {}, PROMPTS, Calibrations()) as at_work:
        original, sampler.transformer.single_transformer_blocks = (
            sampler.transformer.single_transformer_blocks,
            torch.nn.ModuleList(before),
        )
        sampler.sample(PROMPTS, 0, between=at_work)
        sampler.transformer.single_transformer_blocks = original
    with pytest.raises(SurgeryError, match="step 1: stack 'single': the plan '0 1 8 9' runs blocks"):
        at_work.check()
    assert list(sampler.transformer.single_transformer_blocks) == before


def test_an_exception_leaves_the_model_as_it_was(sampler):
    control = sampler.sample(PROMPTS, 0).latents

    class StopError(Exception):
        pass

    def failing():
        with modified(
            sampler,
            read_modifiers(f"{RANGES[sampler.family.name]}-reuse.n2+fewer-steps.2"),
            {},
            PROMPTS,
            Calibrations(),
        ):
            raise StopError

    with pytest.raises(StopError):
        failing()
    assert torch.equal(sampler.sample(PROMPTS, 0).latents, control)


def test_a_range_of_a_stack_inside_a_module_dict_is_reused():
    """The second forward adds the first one's update, whatever the range would compute on its own input."""
    model, arguments = small("Flux3Transformer2DModel")
    arguments = {**arguments, "return_dict": False}
    placed = PlacedModifier("reuse", values=(("n", 2),), stack="mode_blocks.image", span=Span(1, 2))
    target = Target(SimpleNamespace(transformer=model, settings=SimpleNamespace(steps=2)), placed, (), Calibrations())
    original, ran = model.mode_blocks["image"], []
    handles = [block.register_forward_pre_hook(lambda *_: ran.append(1)) for block in (original[1], original[2])]
    reuse = ResidualReuse(target)
    with torch.no_grad():
        plain = output_of(model, arguments)
        ran.clear()
        with reuse.installed():
            outputs = []
            for step in range(2):
                reuse.before_step(step)
                outputs.append(output_of(model, arguments))
    for handle in handles:
        handle.remove()
    assert torch.equal(outputs[0], plain)
    assert torch.allclose(outputs[1], plain, atol=1e-5)  # the same input, so the same update but for rounding
    assert len(ran) == 2
    assert model.mode_blocks["image"] is original

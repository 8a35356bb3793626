"""The layer x timestep map: shared prefixes give bitwise what a plan gives, at half the block calls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.ablation.plan import Plan
from harness.analysis.velocity import (
    check_walk,
    conditional_half,
    plan_errors,
    relative_error,
    single_skips,
    velocity_maps,
)
from harness.errors import SurgeryError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED
from harness.models.kernels import pinned
from harness.models.stacks import stacks, unwrap_compiled
from harness.surgery.prefix_walk import block_runs, walk
from harness.surgery.trace import traced
from harness.surgery.view import BlockView, ablate
from tests.helpers import models

BUILD = {**models.FAMILIES, "sd3.5-medium": lambda: models.sd3(8, dual=(0, 1, 2, 3))}


@pytest.fixture(scope="module")
def labs():
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:3]
    made = {name: Lab(f"{name}-tiny", prompts=prompts) for name in ("flux", "sd3", "auraflow")}
    for lab in made.values():
        lab.sampler.batch = 2  # an uneven last batch
        lab.sampler.settings = replace(lab.sampler.settings, steps=2)
    return made


def without(length, block):
    return Plan(tuple(i for i in range(length) if i != block))


@pytest.mark.parametrize("family", sorted(models.FAMILIES))
def test_single_skips_run_half_of_the_blocks(family):
    """L (L + 1) / 2 block runs for the L blocks of all stacks together, the control's included."""
    model, _ = models.FAMILIES[family]()
    lengths = {stack: len(getattr(model, attribute)) for stack, attribute in stacks(model).items()}
    length = sum(lengths.values())
    skips = single_skips(lengths)
    assert [list(plan) for plan in skips] == [[stack] for stack, blocks in lengths.items() for _ in range(blocks)]
    assert block_runs(lengths, [{}, *skips]) == length * (length + 1) // 2


@pytest.mark.parametrize("family", sorted(BUILD))
def test_a_walk_is_checked_against_plans(family, monkeypatch):
    """If a change in diffusers went past the view, every error would be 0 and the layers look dispensable."""
    model, arguments = BUILD[family]()
    with torch.no_grad():
        check_walk(model, arguments)
        monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
        with pytest.raises(SurgeryError, match="did not take hold"):
            check_walk(model, arguments)


def test_states_of_other_inputs_are_seen(monkeypatch):
    model, arguments = models.flux()

    def other(transformer, arguments, plans):
        return walk(transformer, {**arguments, "timestep": arguments["timestep"] / 2}, plans)

    monkeypatch.setattr("harness.analysis.velocity.walk", other)
    with (
        torch.no_grad(),
        pytest.raises(SurgeryError, match=r"stack 'double': the plan '0 2 3' .* differs from the plan"),
    ):
        check_walk(model, arguments)


def test_errors_are_relative_and_by_prompt():
    known = torch.tensor([[[3.0, 4.0]], [[1.0, 0.0]]])
    assert relative_error(known + torch.tensor([[[0.0, 1.0]], [[0.0, 2.0]]]), known) == pytest.approx([1 / 25, 4])
    assert (relative_error(known, known) == 0).all()
    assert relative_error(2 * known, known) == pytest.approx([1, 1])


def test_the_conditional_half_is_the_second():
    arguments = {"hidden_states": torch.arange(4.0)[:, None], "ids": torch.zeros(9, 3), "flag": None}
    half = conditional_half(arguments, 2)
    assert half["hidden_states"].flatten().tolist() == [2, 3]
    assert half["ids"].shape == (9, 3)
    assert conditional_half(arguments, 4)["hidden_states"] is arguments["hidden_states"]
    with pytest.raises(SurgeryError, match="4 rows for 3 prompts"):
        conditional_half(arguments, 3)


def slow_maps(lab):
    """Every skip one by one, on inputs that were written down while the pipeline sampled."""
    sampler, prompts = lab.sampler, lab.prompts
    out = {stack: np.zeros((len(prompts), 2, n)) for stack, n in lab.checkpoint.stacks.items()}
    levels = []
    for start in range(0, len(prompts), sampler.batch):
        part = prompts[start : start + sampler.batch]
        calls = []
        handle = sampler.transformer.register_forward_pre_hook(
            lambda _m, args, kwargs, calls=calls: calls.append(sampler.named(args, kwargs)), with_kwargs=True
        )
        sampler.sample(part, 0)
        handle.remove()
        levels = [float(call["timestep"][0]) / (1000 if lab.checkpoint.family.name == "sd3" else 1) for call in calls]
        for step, call in enumerate(calls):
            rows = len(call["hidden_states"])
            if rows == 2 * len(part):
                half = {k: v[len(part) :] if torch.is_tensor(v) and len(v) == rows else v for k, v in call.items()}
            else:
                half = call
            with pinned():
                whole = sampler.transformer(**half)[0]
                for stack, length in lab.checkpoint.stacks.items():
                    for block in range(length):
                        with ablate(sampler.transformer, without(length, block), stack):
                            gap = sampler.transformer(**half)[0].double() - whole.double()
                        for row in range(len(part)):
                            value = float((gap[row] ** 2).sum() / (whole[row].double() ** 2).sum())
                            out[stack][start + row, step, block] = value
    return out, levels


@pytest.mark.parametrize("family", ["flux", "sd3", "auraflow"])
def test_the_maps_of_trained_models_are_those_of_plans_on_the_controls_trajectory(labs, family):
    lab = labs[family]
    before = lab.sampler.sample(lab.prompts, 0).sha256()
    maps = velocity_maps(lab)
    slow, levels = slow_maps(lab)
    assert set(maps) == set(slow) == set(lab.checkpoint.stacks)
    for stack, found in maps.items():
        assert (found.checkpoint, found.stack) == (lab.checkpoint.name, stack)
        assert found.error.shape == (3, 2, lab.checkpoint.stacks[stack])
        np.testing.assert_allclose(found.error, slow[stack], rtol=1e-12)
        assert (found.error > 0).all()
        assert found.levels == pytest.approx(levels, rel=1e-6)
        assert (np.diff(found.levels) < 0).all()
        assert found.levels[0] <= 1
        assert found.levels[-1] > 0
    # The pipeline went on undisturbed, and the model is as it was.
    assert lab.sampler.sample(lab.prompts, 0).sha256() == before
    model = unwrap_compiled(lab.transformer)
    assert not any(isinstance(getattr(model, a), BlockView) for a in stacks(model).values())


def test_plans_over_several_stacks_on_some_prompts_and_steps(labs):
    lab = labs["flux"]
    one, other = {"double": Plan((0, 1, 3, 4))}, {"single": Plan((0, *range(2, 10)))}
    plans = [one, other, {**one, **other}, {}]
    found = plan_errors(lab.sampler, lab.prompts[:2], plans, steps=[1])
    assert found.error.shape == (4, 2, 1)
    maps = velocity_maps(lab)
    assert found.levels == (maps["double"].levels[1],)
    np.testing.assert_array_equal(found.error[0, :, 0], maps["double"].error[:2, 1, 2])
    np.testing.assert_array_equal(found.error[1, :, 0], maps["single"].error[:2, 1, 1])
    assert (found.error[2] > 0).all()
    assert (found.error[3] == 0).all()


def test_the_pipelines_own_images_stay_as_they_are(labs, monkeypatch):
    """What is computed while the pipeline stands must not reach it."""
    lab = labs["sd3"]
    made = []
    sample = lab.sampler.sample
    monkeypatch.setattr(lab.sampler, "sample", lambda *a, **k: made.append(sample(*a, **k)))
    velocity_maps(lab)
    monkeypatch.undo()
    assert torch.equal(torch.cat([m.latents for m in made]), lab.sampler.sample(lab.prompts, 0).latents)


def test_the_other_pass_of_guidance_in_two_is_no_step(labs, monkeypatch):
    """FLUX's true guidance makes two forwards a step; the first is the conditional one, and the other is left alone."""
    lab = labs["flux"]
    sampler = lab.sampler
    own = sampler.conditions

    def both(prompts):
        found, other = own(prompts), own(["a small striped blue cross"] * len(prompts))
        return {**found, **{f"negative_{name}": value for name, value in other.items()}}

    monkeypatch.setattr(sampler, "conditions", both)
    arguments = sampler.adapter.arguments
    monkeypatch.setattr(sampler.adapter, "arguments", lambda s: {**arguments(s), "true_cfg_scale": 2.0}, raising=False)
    with traced(sampler.transformer, "double") as ran:
        sampler.sample(lab.prompts[:2], 0)
    assert len(ran) == 2 * 2 * 5
    guided = velocity_maps(lab)["double"].error
    monkeypatch.undo()
    plain = velocity_maps(lab)["double"].error
    np.testing.assert_array_equal(guided[:, 0], plain[:, 0])  # the same noise and words, whatever the guidance
    assert (guided[:, 1:] != plain[:, 1:]).all()  # another trajectory
    assert np.isfinite(guided).all()


def test_a_scheduler_with_other_steps_is_refused(labs, monkeypatch):
    lab = labs["flux"]
    arguments = lab.sampler.adapter.arguments
    more = {"num_inference_steps": 6}
    monkeypatch.setattr(lab.sampler.adapter, "arguments", lambda s: {**arguments(s), **more}, raising=False)
    with pytest.raises(SurgeryError, match="takes 6 steps where 2 were asked for"):
        velocity_maps(lab)

"""The layer x timestep map: shared prefixes give bitwise what a plan gives, at half the block calls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.ablation.plan import Plan
from harness.analysis.velocity import (
    check_prefix_reuse,
    conditional_half,
    control_forward,
    relative_error,
    resumed_after,
    single_skips,
    velocity_maps,
)
from harness.errors import SurgeryError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED
from harness.models.kernels import pinned
from harness.models.stacks import stacks, unwrap_compiled
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


@pytest.mark.parametrize("family", sorted(BUILD))
def test_starting_behind_a_block_is_bitwise_the_plan_without_it(family):
    model, arguments = BUILD[family]()
    lists = {stack: getattr(model, attribute) for stack, attribute in stacks(model).items()}
    with torch.no_grad():
        known = control_forward(model, arguments)
        assert torch.equal(known.velocity, model(**arguments)[0])
        seen = []
        for stack, block, fast in single_skips(model, arguments, known):
            seen.append((stack, block))
            with ablate(model, without(len(lists[stack]), block), stack):
                slow = model(**arguments)[0]
            assert torch.equal(fast, slow), (stack, block)
            assert not torch.equal(fast, known.velocity), (stack, block)
    assert seen == [(stack, i) for stack, blocks in lists.items() for i in range(len(blocks))]
    for stack, attribute in stacks(model).items():
        assert getattr(model, attribute) is lists[stack]


@pytest.mark.parametrize("family", sorted(models.FAMILIES))
def test_only_the_blocks_behind_run(family):
    """L (L - 1) / 2 block calls for the L blocks of all stacks together, where one by one takes L (L - 1)."""
    model, arguments = models.FAMILIES[family]()
    calls: list[int] = []
    for attribute in stacks(model).values():
        for block in getattr(model, attribute):
            block.register_forward_pre_hook(lambda *_: calls.append(1))
    length = sum(len(getattr(model, attribute)) for attribute in stacks(model).values())
    with torch.no_grad():
        known = control_forward(model, arguments)
        assert len(calls) == length
        calls.clear()
        for _ in single_skips(model, arguments, known):
            pass
        shared = len(calls)
        calls.clear()
        for stack, attribute in stacks(model).items():
            for block in range(len(getattr(model, attribute))):
                with ablate(model, without(len(getattr(model, attribute)), block), stack):
                    model(**arguments)
    assert shared == length * (length - 1) // 2
    assert len(calls) == length * (length - 1) == 2 * shared


def test_a_handover_is_asked_like_its_block():
    """SD3 reads context_pre_only from what stands in the list, by position."""
    model, arguments = models.sd3()
    with torch.no_grad():
        known = control_forward(model, arguments)
        with resumed_after(model, "joint", 5, known.states["joint"]):
            assert [slot.context_pre_only for slot in model.transformer_blocks] == [False] * 5 + [True]
            assert len(model.transformer_blocks) == 6


def test_what_stands_under_a_plan_is_refused():
    model, arguments = models.flux()
    with torch.no_grad():
        known = control_forward(model, arguments)
        for plan in ("double: 0 2 3", "double: 0 2 1 3", "double: 0 1 1 2 3"):
            with ablate(model, plan), pytest.raises(SurgeryError, match="under a plan"):
                control_forward(model, arguments)
        with (
            ablate(model, "double: 0 2 3"),
            pytest.raises(SurgeryError, match="already under a plan"),
            resumed_after(model, "single", 1, known.states["single"]),
        ):
            pass
        assert torch.equal(model(**arguments)[0], known.velocity)


def test_an_exception_leaves_the_model_as_it_was():
    model, arguments = models.flux()
    with torch.no_grad():
        known = control_forward(model, arguments)
    with pytest.raises(KeyboardInterrupt), resumed_after(model, "single", 2, known.states["single"]):
        raise KeyboardInterrupt
    assert not any(isinstance(getattr(model, a), BlockView) for a in stacks(model).values())


def test_views_that_nobody_iterates_are_seen(monkeypatch):
    """If a change in diffusers went past the view, every error would be 0 and the layers look dispensable."""
    model, arguments = models.sd3()
    with torch.no_grad():
        known = control_forward(model, arguments)
        check_prefix_reuse(model, arguments, known)
        monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
        with pytest.raises(SurgeryError, match="did not take hold"):
            check_prefix_reuse(model, arguments, known)


def test_states_of_other_inputs_are_seen():
    model, arguments = models.flux()
    with torch.no_grad():
        known = control_forward(model, {**arguments, "timestep": arguments["timestep"] / 2})
        with pytest.raises(SurgeryError, match=r"stack 'double': skipping block 1 .* ran blocks \[2, 3\] and differs"):
            check_prefix_reuse(model, arguments, known)


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

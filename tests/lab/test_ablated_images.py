"""Images under plans: several stacks at once, windows of steps, and plans that did not take hold."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.plan import identity, parse
from harness.errors import SurgeryError
from harness.lab.ablated_images import sample_plans, sample_window
from harness.surgery.view import BlockView


def test_no_plan_and_plans_that_change_nothing_are_the_model(lab):
    prompts = lab.prompts[:2]
    own = lab.sampler.sample(prompts, seed=1).latents
    assert torch.equal(sample_plans(lab.sampler, prompts, {}, seed=1).latents, own)
    same = {"double": identity(5), "single": identity(10)}
    assert torch.equal(sample_plans(lab.sampler, prompts, same, seed=1).latents, own)


def test_plans_of_two_stacks_hold_together(lab):
    prompts, plans = lab.prompts[:2], {"double": parse("0 4"), "single": parse("0-8")}
    both = sample_plans(lab.sampler, prompts, plans, seed=0).latents
    for stack, plan in plans.items():
        assert not torch.equal(sample_plans(lab.sampler, prompts, {stack: plan}, seed=0).latents, both)


def test_a_window_of_all_steps_is_the_plan_and_one_of_some_is_not(lab):
    prompts, plan = lab.prompts[:2], parse("0 4")
    whole = sample_plans(lab.sampler, prompts, {"double": plan}, seed=0).latents
    assert torch.equal(sample_window(lab.sampler, prompts, plan, "double", (0, 3), seed=0).latents, whole)
    assert not torch.equal(sample_window(lab.sampler, prompts, plan, "double", (0, 1), seed=0).latents, whole)


def test_a_plan_that_did_not_take_hold_is_an_error(lab, monkeypatch):
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    with pytest.raises(SurgeryError, match="did not take hold"):
        sample_plans(lab.sampler, lab.prompts[:1], {"double": parse("0 4")}, seed=0)

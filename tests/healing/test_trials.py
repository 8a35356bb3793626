"""Random plans of one size, the prompts that they are healed on, and a whole trial."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.plan import Plan, parse
from harness.healing.recipe import Recipe
from harness.healing.trials import random_plans, run_trials, training_prompts, training_steps
from harness.models.checkpoints.resolve import BUNDLED
from harness.surgery.pruning import chosen


@given(st.integers(5, 9), st.integers(5, 9), st.integers(1, 4))
def test_each_plan_leaves_out_as_many_blocks(double, single, removed):
    lengths = {"double": double, "single": single}
    plans = random_plans(lengths, removed, 4)
    assert len(set(plans)) == 4
    for texts in plans:
        kept = kept_blocks(texts)
        assert sum(lengths[stack] - len(blocks) for stack, blocks in kept.items()) == removed
        assert all(len(blocks) < lengths[stack] for stack, blocks in kept.items())


def kept_blocks(texts):
    """Stack -> blocks of plans such as ``double: 0-2 4``."""
    plans = dict(text.split(": ") for text in texts)
    return {stack: tuple(parse(plan).blocks()) for stack, plan in plans.items()}


def test_all_blocks_are_drawn_alike():
    plans = random_plans({"double": 5, "single": 10}, 4, 600)
    gone = np.zeros(15)
    for texts in plans:
        for stack, blocks in kept_blocks(texts).items():
            start, length = {"double": (0, 5), "single": (5, 10)}[stack]
            gone[[start + block for block in range(length) if block not in set(blocks)]] += 1
    assert np.abs(gone - 160).max() < 5 * np.sqrt(160)


def test_no_prompt_is_one_that_harm_is_measured_on():
    prompts = training_prompts(1024)
    assert len(set(prompts)) == 1024
    assert not set(prompts) & set((BUNDLED / "prompts.txt").read_text().splitlines())


def test_a_share_of_the_training_in_steps():
    assert training_steps("flux", 0.01, 64) == 60  # of 3,000 steps of 128
    assert training_steps("flux", 1e-9, 64) == 1


def test_trials_are_measured_and_leave_the_model_alone(lab):
    plans = [("double: 0-2 4",), ("double: 0-3", "single: 0-8")]
    before = lab.sampler.sample(lab.prompts[:1], 0).sha256()
    trials = list(run_trials(lab, plans, Recipe(steps=1, batch=2, rate=1e-6), training_prompts(16)))
    assert [trial.plans for trial in trials] == plans
    assert lab.sampler.sample(lab.prompts[:1], 0).sha256() == before
    for trial in trials:
        skipped = lab.run_stacks(plans_of(lab, trial.plans)).measurement
        assert trial.harm_before == np.mean(skipped.values["harm"])
        # A step at this rate changes nothing to speak of: what is measured after is the plan before.
        assert trial.harm_after == pytest.approx(trial.harm_before, abs=0.5)
        assert trial.loss_before > 0


def plans_of(lab, texts):
    return {stack: Plan(blocks) for stack, blocks in chosen(lab.transformer, list(texts)).items()}

"""Errors of removals on a bundled model are those of their plans."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.ablation.removals import Blocks
from harness.analysis.velocity import plan_errors
from harness.lab.lab import Lab
from harness.search.velocity_search import VelocityErrors

PROMPTS = ["a red circle", "a blue square", "a green star", "a red triangle", "a blue circle"]


@pytest.fixture(scope="module")
def lab():
    return Lab("flux-tiny", prompts=PROMPTS, device=torch.device("cpu"))


def test_removals_over_two_stacks_have_the_errors_of_their_plans(lab):
    measure = VelocityErrors(lab.sampler, lab.checkpoint.stacks, PROMPTS, [1, 3])
    asked = [frozenset({1}), frozenset({1, 7}), frozenset({7, 8, 14})]
    blocks = Blocks(lab.checkpoint.stacks, (1.0,) * 15)
    errors = plan_errors(lab.sampler, PROMPTS, [blocks.plan(removal) for removal in asked], steps=[1, 3]).error
    assert measure(asked, False) == pytest.approx(errors.mean(axis=(1, 2)), rel=1e-6)
    assert measure(asked, True) == pytest.approx(errors[:, [0, 4]].mean(axis=(1, 2)), rel=1e-5)
    assert measure(asked, False)[0] < measure(asked, False)[1]


def test_the_trajectory_is_sampled_once_and_every_forward_is_counted(lab):
    forwards, blocks = [], []
    handles = [lab.transformer.register_forward_pre_hook(lambda *_: forwards.append(1))]
    measure = VelocityErrors(lab.sampler, lab.checkpoint.stacks, PROMPTS, [1, 3])
    measure([frozenset({1})], False)
    assert measure.control_images == pytest.approx(5 + 10 / 4 * (15 + 13) / 15)
    before = measure.control_images
    for attribute in ("transformer_blocks", "single_transformer_blocks"):
        handles += [
            b.register_forward_pre_hook(lambda *_: blocks.append(1)) for b in getattr(lab.transformer, attribute)
        ]
    measure([frozenset({1})], False)
    for handle in handles:
        handle.remove()
    assert len(blocks) == 15 + 13
    assert measure.control_images - before == pytest.approx(10 / 4 * len(blocks) / 15)


def test_lab_runs_plans_of_two_stacks_together(lab):
    plans = Blocks(lab.checkpoint.stacks, (1.0,) * 15).plan({1, 7})
    together = lab.run_stacks(plans).measurement
    alone = lab.run("double: 0 2-4").measurement
    assert lab.run_stacks({"double": plans["double"]}).measurement.latents_sha256 == alone.latents_sha256
    assert together.latents_sha256 != alone.latents_sha256
    assert np.isfinite(together.summary["harm"])

"""The harm of a removal is that of its plan, in points."""

from __future__ import annotations

import pytest
import torch

from harness.ablation.plan import parse
from harness.ablation.removals import Blocks
from harness.lab.lab import Lab
from harness.search.candidates import StackPlans
from harness.search.confirm import harm_of, why_not_exported


@pytest.fixture(scope="module")
def lab():
    prompts = ["a red circle", "a blue square", "a green star", "a red triangle"]
    return Lab("flux-tiny", prompts=prompts, device=torch.device("cpu"))


def test_the_harm_of_one_block_is_that_of_its_skip(lab):
    blocks = Blocks(lab.checkpoint.stacks, (1.0,) * 15)
    alone = lab.run("double: 0-3").measurement
    harm = harm_of(lab, blocks, frozenset({4}))
    assert harm.value == pytest.approx(alone.summary["harm"] * lab.seed_sd, rel=1e-4)
    assert harm.low < harm.value < harm.high


def test_the_harm_of_a_repeated_block_is_that_of_its_plan(lab):
    blocks = Blocks(lab.checkpoint.stacks, (1.0,) * 15)
    alone = lab.run("double: 0 2 2 2 4").measurement
    harm = harm_of(lab, blocks, StackPlans((("double", parse("0 2 2 2 4")),)))
    assert harm.value == pytest.approx(alone.summary["harm"] * lab.seed_sd, rel=1e-4)


def test_a_repeated_block_and_a_group_are_not_exported_with_the_reason(lab):
    blocks = Blocks(lab.checkpoint.stacks, (1.0,) * 15)
    assert why_not_exported(lab, blocks, frozenset({0, 7})) == ""
    assert why_not_exported(lab, blocks, StackPlans((("double", parse("1 0 2-4")),))) == ""
    repeat = StackPlans((("double", parse("0 2 2 2 4")),))
    assert "block 2 runs 3 times" in why_not_exported(lab, blocks, repeat)
    assert "side by side" in why_not_exported(lab, blocks, StackPlans((("double", parse("0 (1|2) 3 4")),)))

"""The harm of a removal is that of its plan, in points."""

from __future__ import annotations

import pytest
import torch

from harness.lab.lab import Lab
from harness.search.confirm import harm_of
from harness.search.removals import Blocks


def test_the_harm_of_one_block_is_that_of_its_skip():
    prompts = ["a red circle", "a blue square", "a green star", "a red triangle"]
    lab = Lab("flux-tiny", prompts=prompts, device=torch.device("cpu"))
    blocks = Blocks(lab.checkpoint.stacks, (1.0,) * 15)
    alone = lab.run("double: 0-3").measurement
    harm = harm_of(lab, blocks, frozenset({4}))
    assert harm.value == pytest.approx(alone.summary["harm"] * lab.seed_sd, rel=1e-4)
    assert harm.low < harm.value < harm.high

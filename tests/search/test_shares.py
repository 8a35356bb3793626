"""Shares of blocks: of the parameters exactly, of the time by timing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.search import shares
from harness.search.shares import parameter_shares, time_shares
from tests.helpers.records import latency


@pytest.fixture(scope="module")
def lab():
    return Lab("flux-tiny", prompts=["a red circle", "a blue square"], device=torch.device("cpu"))


def test_blocks_of_a_stack_have_equal_parameters_and_leave_room_for_the_rest(lab):
    found = parameter_shares(lab)
    assert len(found) == 15
    assert len(set(found[:5])) == len(set(found[5:])) == 1
    assert found[0] > found[5]
    assert 0.5 < sum(found) < 1
    blocks = lab.transformer.transformer_blocks[0]
    total = sum(parameter.numel() for parameter in lab.transformer.parameters())
    assert found[0] == sum(parameter.numel() for parameter in blocks.parameters()) / total


def test_a_share_of_the_time_is_what_a_forward_without_a_block_saves(lab, monkeypatch):
    asked = []

    def timed(_lab, case, rounds):
        asked.append((str(case.plan), case.stack, rounds))
        return replace(latency("skip", 1.25 if case.stack == "double" else 1.1).latency, low=1.05)

    monkeypatch.setattr(shares, "measure_latency", timed)
    found = time_shares(lab, rounds=6)
    assert asked == [("0 1 3 4", "double", 6), ("0-4 6-9", "single", 6)]
    assert found == pytest.approx([0.2] * 5 + [1 - 1 / 1.1] * 10)


def test_a_block_that_saves_no_time_is_one_line(lab, monkeypatch):
    monkeypatch.setattr(shares, "measure_latency", lambda *_: latency("skip", 0.99).latency)
    with pytest.raises(HarnessError, match="block 2 of stack 'double' saves no time that 6 pairs show"):
        time_shares(lab, rounds=6)

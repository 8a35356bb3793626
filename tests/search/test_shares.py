"""Shares of blocks: of the parameters exactly, of the time by timing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.results.latency import Latency
from harness.search import shares
from harness.search.shares import parameter_shares, time_shares


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


def timings(monkeypatch, speed_ups):
    """Timings that give the next of the speed-ups of a stack at every call; the calls that were made."""
    calls = []

    def timed(_lab, case, rounds):
        ratio = speed_ups[case.stack][sum(stack == case.stack for _, stack, _ in calls)]
        calls.append((str(case.plan), case.stack, rounds))
        pairs = np.ones(rounds) * np.exp(np.linspace(-0.1, 0.1, rounds))
        return Latency(tuple(pairs * ratio), (1.0,) * rounds, 8, ratio, ratio, ratio, 1.0)

    monkeypatch.setattr(shares, "measure_latency", timed)
    return calls


def test_a_share_of_the_time_is_what_a_forward_without_the_stack_saves(lab, monkeypatch):
    calls = timings(monkeypatch, {"double": [1.25], "single": [2.0]})
    found = time_shares(lab, rounds=24)
    assert calls == [("-", "double", 24), ("-", "single", 24)]
    assert found == pytest.approx([0.2 / 5] * 5 + [0.5 / 10] * 10)


def test_shares_that_add_up_to_more_than_a_forward_are_scaled_to_it(lab, monkeypatch):
    timings(monkeypatch, {"double": [2.0], "single": [4.0]})
    assert time_shares(lab) == pytest.approx([0.4 / 5] * 5 + [0.6 / 10] * 10)


def test_pairs_that_show_nothing_are_doubled_until_they_do(lab, monkeypatch):
    calls = timings(monkeypatch, {"double": [1.0, 1.0, 1.3], "single": [2.0]})
    found = time_shares(lab, rounds=24, most=96)
    assert [rounds for _, stack, rounds in calls if stack == "double"] == [24, 24, 48]
    assert 0 < found[0] < (1 - 1 / 1.3) / 5  # of all pairs together


def test_a_stack_that_saves_no_time_is_one_line_after_the_last_pair(lab, monkeypatch):
    calls = timings(monkeypatch, {"double": [0.99] * 9})
    with pytest.raises(HarnessError, match="all blocks of stack 'double' saves no time that 80 pairs of forwards show"):
        time_shares(lab, rounds=24, most=80)
    assert [rounds for _, _, rounds in calls] == [24, 24, 32]

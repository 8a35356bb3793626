"""The seconds of forwards, on a clock that goes on by what runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from harness.lab import timed_forwards as module
from harness.lab.timed_forwards import timed_forwards

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Seconds that have passed, in a list of one."""
    at = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: at[0]))
    return at


class Slow(nn.Module):
    """A model whose forward takes as many seconds as it is told."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def forward(self, seconds):
        self.clock[0] += seconds
        if seconds < 0:
            raise RuntimeError("backwards")
        return seconds


def test_each_forward_has_its_own_seconds(clock):
    model = Slow(clock)
    with timed_forwards(model, CPU) as seconds:
        model(2.0)
        clock[0] += 10  # outside of a forward
        model(3.0)
    model(4.0)
    assert seconds == [2.0, 3.0]


def test_no_hook_is_left_after_an_exception(clock):
    model = Slow(clock)
    with pytest.raises(RuntimeError), timed_forwards(model, CPU) as seconds:
        model(-1.0)
    assert not seconds
    assert not model._forward_hooks
    assert not model._forward_pre_hooks

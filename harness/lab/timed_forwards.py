"""The seconds of each forward of a model while it runs in something larger, such as a pipeline's sampling."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def now(device: torch.device) -> float:
    """Seconds of the clock, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def timed_forwards(model: nn.Module, device: torch.device) -> Iterator[list[float]]:
    """A list that gets the seconds of each of the model's forwards inside the ``with`` block.

    Hooks that are there already are outside of the time, and those that are added inside the block are in it.
    """
    began, seconds = 0.0, list[float]()

    def begin(_module: nn.Module, _arguments: object) -> None:
        nonlocal began
        began = now(device)

    def end(_module: nn.Module, _arguments: object, _output: object) -> None:
        seconds.append(now(device) - began)

    handles = [model.register_forward_pre_hook(begin), model.register_forward_hook(end)]
    try:
        yield seconds
    finally:
        for handle in handles:
            handle.remove()

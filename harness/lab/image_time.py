"""What an image takes outside the transformer's forwards: text encoders, VAE and scheduler."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import torch
from torch import nn

from harness.models.sampler import Sampler
from harness.results.records import ImageTime

_CALLS = 3  # of the pipeline, after one that warms it up


def measure_image_time(sampler: Sampler, prompts: Sequence[str], device: torch.device) -> ImageTime:
    """Time whole images of a batch of prompts, from text to pixels, and the forwards within them.

    What is outside is the whole less as many median forwards as were run, so that moving the weights to the device for
    the first forward, which happens once an image, counts as outside. It is the median over the calls.
    """
    sampler.fetch_encoders()  # now, not while the time is taken
    began, seconds = 0.0, list[float]()

    def begin(_module: nn.Module, _arguments: object) -> None:
        nonlocal began
        began = _now(device)

    def end(_module: nn.Module, _arguments: object, _output: object) -> None:
        seconds.append(_now(device) - began)

    outside: list[float] = []
    handles = [sampler.transformer.register_forward_pre_hook(begin), sampler.transformer.register_forward_hook(end)]
    try:
        for _ in range(1 + _CALLS):
            seconds.clear()
            start = _now(device)
            sampler.sample_plainly(prompts, seed=0)
            whole = _now(device) - start
            outside.append(max(0.0, whole - len(seconds) * statistics.median(seconds)) / len(prompts))
    finally:
        for handle in handles:
            handle.remove()
    return ImageTime(statistics.median(outside[1:]), len(seconds))


def _now(device: torch.device) -> float:
    """Seconds of the clock once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()

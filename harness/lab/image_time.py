"""What an image takes outside the transformer's forwards: text encoders, VAE and scheduler."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch

from harness.lab.timed_forwards import now, timed_forwards
from harness.models.sampler import Sampler
from harness.results.latency import ImageTime

_CALLS = 3  # of the pipeline, after one that warms it up


def measure_image_time(sampler: Sampler, prompts: Sequence[str], device: torch.device) -> ImageTime:
    """Time whole images of a batch of prompts, from text to pixels, and the forwards within them.

    What is outside is the whole less as many median forwards as were run, so that moving the weights to the device for
    the first forward, which happens once an image, counts as outside. It is the median over the calls.
    """
    sampler.fetch_encoders()  # now, not while the time is taken
    outside: list[float] = []
    with timed_forwards(sampler.transformer, device) as seconds:
        for _ in range(1 + _CALLS):
            seconds.clear()
            start = now(device)
            sampler.sample_plainly(prompts, seed=0)
            whole = now(device) - start
            outside.append(max(0.0, whole - len(seconds) * statistics.median(seconds)) / len(prompts))
    return ImageTime(statistics.median(outside[1:]), len(seconds))

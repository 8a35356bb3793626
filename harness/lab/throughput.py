"""How fast a checkpoint samples on a device, from timing one batch of images and one forward of its control."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from harness.models import environment, loading
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.kernels import pinned
from harness.models.sampler import Sampler


@dataclass(frozen=True)
class Throughput:
    """Seconds for one batch of ``images`` from noise to pixels, and for one forward of that batch, on ``device``."""

    batch: float
    forward: float
    images: int
    device: str


def measure_throughput(checkpoint: Checkpoint, prompts: Sequence[str], device: torch.device) -> Throughput:
    """Load the pipeline and time one batch of its prompts, after a forward to warm up.

    Raises CheckpointError or PromptError where the checkpoint or the prompts can't be used.
    """
    pipeline = loading.load(checkpoint, device)
    sampler = Sampler(pipeline, checkpoint.family, checkpoint.settings, checkpoint.settings.batch)
    sampler.check(prompts)
    part = list(prompts[: sampler.batch])
    arguments = sampler.forward_arguments(part)  # also encodes the prompts, which a sweep does once

    def forward() -> None:
        with pinned():
            sampler.transformer(**arguments)

    _timed(forward, device)
    return Throughput(
        forward=_timed(forward, device),
        batch=_timed(lambda: sampler.sample(part, seed=0), device),
        images=len(part),
        device=environment.device_key(device),
    )


def _timed(call: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began

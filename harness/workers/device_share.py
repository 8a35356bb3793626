"""Which GPU and how many threads each worker of one machine takes, and what is not measured where workers share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Share:
    """What one worker takes: a GPU (None: it runs on the CPU), the workers that use the same device, torch's threads.

    ``threads`` is None where torch chooses them itself.
    """

    gpu: str | None
    workers: int
    threads: int | None

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the worker's process by which it sees its own GPU and no other."""
        return {} if self.gpu is None else {VISIBLE: self.gpu}


def shares(workers: int, gpus: Sequence[str]) -> list[Share]:
    """The share of each of some workers of this machine: GPUs in turns, or else a part of the cores each."""
    if not gpus:
        return [Share(None, workers, threads_of(workers)) for _ in range(workers)]
    turns = [index % len(gpus) for index in range(workers)]
    return [Share(gpus[turn], turns.count(turn), threads_of(workers)) for turn in turns]


def threads_of(workers: int) -> int | None:
    """A worker's share of the cores; None, which leaves torch's own number, where it is the only one.

    Workers that take all cores each wait for each other's threads: 20 times slower with two on two cores.
    """
    return None if workers == 1 else max(1, (os.cpu_count() or 1) // workers)


def gpu_names(device: str | None, count: int, visible: str | None) -> tuple[str, ...]:
    """The GPUs for workers on ``device`` (None: any GPU), as CUDA_VISIBLE_DEVICES names them; none on the CPU.

    ``count`` GPUs are seen by this process, ``visible`` is what CUDA_VISIBLE_DEVICES says here. A device with a number
    (``cuda:1``) is that one alone, which all workers then share.
    """
    kind, _, number = (device or "cuda").partition(":")
    if kind != "cuda" or not count:
        return ()
    names = tuple(visible.split(",")[:count]) if visible else tuple(map(str, range(count)))
    return names if not number.isdigit() else names[int(number) : int(number) + 1]


def why_not_timed(workers: int) -> str:
    """Why no latency is measured where so many workers share a device; empty where one has it alone."""
    return f"not measured: {workers} workers share this device" if workers > 1 else ""

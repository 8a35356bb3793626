"""How many images fit into one forward on a GPU, found by making some.

The batch is a power of two and the largest whose peak leaves a tenth of the memory free. Time does not decide: that
would give another batch, and another fingerprint, on every day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from harness.models.sampler import Sampler, release_memory

MOST = 8  # real models keep a GPU busy with fewer; more only takes memory
_FULL = 0.9


def largest_batch(share: Callable[[int], float], most: int = MOST) -> int:
    """The largest power of two up to ``most`` that takes at most nine tenths of the memory; 1 where none does.

    ``share`` makes so many images and gives the share of the memory that was taken at the peak; it may raise
    ``torch.OutOfMemoryError``, which ends the search.
    """
    best, batch = 1, 1
    while batch <= most:
        try:
            taken = share(batch)
        except torch.OutOfMemoryError:
            release_memory()
            break
        if taken > _FULL:
            break
        best, batch = batch, 2 * batch
    return best


def find_batch(sampler: Sampler, prompts: Sequence[str], device: torch.device) -> int:
    """The batch of :func:`largest_batch` for a pipeline on a CUDA device, by one denoising step and decoding."""

    def share(batch: int) -> float:
        torch.cuda.reset_peak_memory_stats(device)
        sampler.one_step([prompts[i % len(prompts)] for i in range(batch)])
        _, total = torch.cuda.mem_get_info(device)
        return torch.cuda.max_memory_reserved(device) / total

    return largest_batch(share)

"""Peak memory of a forward on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch


def peak_bytes(device: torch.device, forward: Callable[[], None]) -> int | None:
    """Peak memory of one forward on CUDA, in bytes; None elsewhere."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    forward()
    return torch.cuda.max_memory_allocated(device)

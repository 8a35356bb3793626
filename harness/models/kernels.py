"""Which of torch's kernels compute: one order of attention kernels on every device, and no TF32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

# In this order, on every device: the fused CPU kernel and the math one differ by 1.6e-2 in bf16.
BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
KERNELS: ContextVar[tuple[SDPBackend, ...]] = ContextVar("KERNELS", default=BACKENDS)


@contextmanager
def pinned() -> Iterator[None]:
    """Inference with fixed attention kernels and without TF32 (which torch leaves on for convolutions)."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        with torch.inference_mode(), sdpa_kernel(list(KERNELS.get()), set_priority=True):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before

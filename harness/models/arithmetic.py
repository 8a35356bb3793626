"""A digest of what torch computes here: fixed operations on fixed numbers, at the shapes that the models use.

Two machines with the same digest give the same bits in these operations, whatever their processors are called, so
noise floors measured on the one hold on the other. Nothing of diffusers or transformers is asked: a fault in one of
them must not be able to switch the noise floors off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.models.kernels import pinned


@dataclass(frozen=True)
class _Shapes:
    """Sizes of a transformer (``heads`` of ``depth`` make its width) and of an autoencoder's feature maps."""

    batch: int
    tokens: int
    heads: int
    depth: int
    channels: int
    side: int


_BUNDLED = _Shapes(batch=64, tokens=120, heads=3, depth=32, channels=32, side=20)
_BUNDLED_PART = _Shapes(batch=8, tokens=100, heads=3, depth=32, channels=64, side=10)
_PUBLISHED = _Shapes(batch=1, tokens=1536, heads=24, depth=128, channels=128, side=128)  # too slow for a CPU


def arithmetic(device: torch.device, dtype: str) -> str:
    """Twelve hex digits for the results of the operations on a device in a dtype (``float32``, ``bfloat16`` ...).

    They follow from the instruction set, torch's threads and the attention kernels that are chosen at the time.
    """
    shapes = [_BUNDLED, _BUNDLED_PART, *([_PUBLISHED] if device.type == "cuda" else [])]
    digest = hashlib.sha256()
    with pinned():
        for shape in shapes:
            for result in _results(shape, device, getattr(torch, dtype)):
                digest.update(result.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _results(shape: _Shapes, device: torch.device, dtype: torch.dtype) -> Iterator[Tensor]:
    """The result of each operation. Weights are as small as trained ones, so that nothing saturates."""
    generator = torch.Generator("cpu").manual_seed(0)

    def numbers(*sizes: int, scale: float = 1.0) -> Tensor:
        drawn = torch.randn(sizes, generator=generator, dtype=torch.float32)
        return (scale * drawn).to(device, dtype)

    width = shape.heads * shape.depth
    states = numbers(shape.batch, shape.tokens, width)
    yield F.linear(states, numbers(3 * width, width, scale=width**-0.5), numbers(3 * width))
    inner = F.gelu(F.linear(states, numbers(4 * width, width, scale=width**-0.5)), approximate="tanh")
    yield inner
    yield F.linear(inner, numbers(width, 4 * width, scale=(4 * width) ** -0.5))
    yield F.layer_norm(states, (width,), eps=1e-6)
    yield F.silu(states) + torch.exp(-states.abs()) + torch.sin(states) * torch.cos(states)
    query, key, value = (numbers(shape.batch, shape.heads, shape.tokens, shape.depth) for _ in range(3))
    yield query * torch.rsqrt(query.pow(2).mean(-1, keepdim=True) + 1e-6)  # root-mean-square norm
    yield F.scaled_dot_product_attention(query, key, value)
    yield torch.softmax(query @ key.transpose(-1, -2) * shape.depth**-0.5, dim=-1) @ value
    maps = numbers(shape.batch, shape.channels, shape.side, shape.side)
    yield F.conv2d(maps, numbers(shape.channels, shape.channels, 3, 3, scale=(9 * shape.channels) ** -0.5), padding=1)
    yield F.group_norm(maps, 8)
    yield F.interpolate(maps, scale_factor=2.0, mode="nearest").mean(dim=(-1, -2))
    yield F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False).sum(dim=1)

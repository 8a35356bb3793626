"""Images in portions, so that many or large ones need no more memory than a few."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from harness.results.arrays import Images

Kind = TypeVar("Kind", bound=np.floating)
_BUDGET = 2**24  # pixels in a portion


def portions(number: int, pixels: int, most: int, budget: int = _BUDGET) -> Iterator[slice]:
    """Slices over ``number`` images of ``pixels`` each: at most ``most`` images and ``budget`` pixels, at least one."""
    size = max(1, min(most, budget // max(1, pixels)))
    for start in range(0, number, size):
        yield slice(start, start + size)


def in_portions(
    read: Callable[..., npt.NDArray[Kind]], *images: Images, most: int, budget: int = _BUDGET
) -> npt.NDArray[Kind]:
    """What ``read`` makes of (N, C, H, W) images, put together again along the first dimension."""
    first = images[0]
    cuts = portions(len(first), first.shape[-2] * first.shape[-1], most, budget)
    return np.concatenate([read(*(some[cut] for some in images)) for cut in cuts])

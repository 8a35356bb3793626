"""What a run may cost: ``2h``, ``90m`` or ``800 images`` of the control, and how much of it is left."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import OptionError

_FORM = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(h|m|s|images?)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Budget:
    """A number of control images, or of seconds; the other one is None.

    A control image is one image of the un-ablated model; a variant's is its share of the control's blocks.
    """

    text: str
    images: float | None = None
    seconds: float | None = None


def read_budget(text: str) -> Budget:
    """From ``2h``, ``90m``, ``45s``, ``800 images``. Raises OptionError for anything else, and for nothing at all."""
    match = _FORM.fullmatch(text.strip())
    amount = float(match[1]) if match else 0.0
    if match is None or not amount:
        raise OptionError(f"takes hours, minutes or control images (2h, 90m, '800 images'), not {text[:60]!r}")
    if match[2] in _SECONDS:
        return Budget(text.strip(), seconds=amount * _SECONDS[match[2]])
    return Budget(text.strip(), images=amount)


class Account:
    """What is left of a budget: images are counted as they are spent, seconds run from when it is opened.

    ``clock`` is a monotonic one, in seconds. What images will take is estimated from those that were made.
    """

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.spent = 0.0  # control images
        self._clock, self._opened = clock, clock()

    @property
    def seconds(self) -> float:
        """Since it was opened."""
        return self._clock() - self._opened

    def spend(self, images: float) -> None:
        """Count so many control images as made."""
        self.spent += images

    def affords(self, images: float) -> bool:
        """Whether so many more control images are within the budget."""
        if self.budget.images is not None:
            return self.spent + images <= self.budget.images + 1e-9
        assert self.budget.seconds is not None
        each = self.seconds / self.spent if self.spent else 0.0
        return self.seconds + images * each <= self.budget.seconds

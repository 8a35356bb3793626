"""How long a variant takes beside the control, as plain data: timed pairs, and the time of an image that follows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.errors import DataError

TIMED_BATCH = 4  # images in the forward that is timed, where the checkpoint's batch allows them
TOO_LARGE = 1e100  # of a figure: float32 ends at 1e38; the cube of anything above this has no float64


class RelativeTime(NamedTuple):
    """A variant's time over the control's, and the ends of its interval; ``high`` may be infinite."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ImageTime:
    """What an image takes beside the transformer, measured on whole images of the control.

    ``outside`` is seconds per image outside the transformer's forwards: text encoders, VAE, scheduler. No ablation
    changes them. ``forwards`` is how many forwards an image takes.
    """

    outside: float
    forwards: int


@dataclass(frozen=True)
class Latency:
    """Paired samples of the transformer's forward, in seconds: ``control[i]`` was timed beside ``variant[i]``.

    ``low`` and ``high`` are the 95 % interval of the speed-up ``ratio``. ``image`` is what an image takes beside its
    forwards, None where none was made.
    """

    control: tuple[float, ...]
    variant: tuple[float, ...]
    batch: int
    ratio: float  # speed-up: median of control / variant
    low: float
    high: float
    theory: float  # speed-up if every block cost the same and nothing else cost anything
    peak_bytes: int | None = None
    control_peak_bytes: int | None = None
    image: ImageTime | None = None

    @property
    def relative_time(self) -> RelativeTime:
        """The variant's time over the control's with its 95 % interval: one over the speed-up."""
        return RelativeTime(1.0 / self.ratio, 1.0 / self.high, 1.0 / self.low if self.low > 0 else math.inf)

    @property
    def control_image_seconds(self) -> float | None:
        """Seconds that the control takes for an image, from prompt to pixels; None where no image was timed."""
        return self._image_seconds(self.control)

    @property
    def image_seconds(self) -> float | None:
        """Seconds that the variant takes for an image, from prompt to pixels; None where no image was timed."""
        return self._image_seconds(self.variant)

    @property
    def image_speed_up(self) -> float | None:
        """The control's time for an image, from prompt to pixels, over the variant's; None where no image was timed."""
        control, variant = self.control_image_seconds, self.image_seconds
        return control / variant if control and variant else None

    def _image_seconds(self, forwards: Sequence[float]) -> float | None:
        if self.image is None or not forwards:
            return None
        return self.image.outside + self.image.forwards * statistics.median(forwards) / self.batch


def check_latency(latency: Latency) -> None:
    """Raise DataError where the numbers of a record's latency don't fit together."""
    sound = 0 < latency.ratio <= TOO_LARGE and 0 <= latency.low <= latency.ratio <= latency.high
    if not sound:
        raise DataError(
            f"record.latency is a speed-up of {latency.ratio} [{latency.low}, {latency.high}], which is none"
        )
    if not all(0 < seconds < math.inf for seconds in (*latency.control, *latency.variant)):
        raise DataError("record.latency has a time of a forward that is no number of seconds above 0")
    if latency.image is not None and not (0 <= latency.image.outside < math.inf and latency.image.forwards > 0):
        raise DataError(
            f"record.latency.image has {latency.image.outside} s outside {latency.image.forwards} forwards, which is "
            "no time of an image"
        )

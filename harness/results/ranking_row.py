"""A row of the ranking: one variant with its rank and its figures."""

from __future__ import annotations

from dataclasses import dataclass

from harness.results.latency import Latency
from harness.results.records import Status


@dataclass(frozen=True)
class Row:
    """One variant. Harm is in units of the control's seed-to-seed sd, with its 95 % interval.

    ``points_low`` and ``points_high`` are the same interval in points of the judge's score. What was not measured is
    None: without images there is neither harm nor what follows from it, and with too few prompts there are no tiers.
    ``summary`` holds the other figures, by name.
    """

    case: str
    stack: str
    place: str
    strategy: str
    plan: str
    words: tuple[str, ...]
    rank: int
    rank_low: int | None
    rank_high: int | None
    tier: int | None
    harm: float | None
    harm_low: float | None
    harm_high: float | None
    points_low: float | None
    points_high: float | None
    collapsed: int | None
    n: int
    gate: Status
    summary: dict[str, float]
    latency: Latency | None
    pareto: bool

    def value(self, name: str) -> float | None:
        """The figure of that name; None where it was not measured."""
        own = {"rank": self.rank, "tier": self.tier, "harm": self.harm, "collapsed": self.collapsed}
        return own[name] if name in own else {**self.summary, **_timed(self.latency)}.get(name)


def _timed(latency: Latency | None) -> dict[str, float]:
    """The figures of a timing, by name."""
    if latency is None:
        return {}
    figures = {"speed_up": latency.ratio, "theoretical_speed_up": latency.theory}
    of_images = {
        "image_speed_up": latency.image_speed_up,
        "image_seconds": latency.image_seconds,
        "control_image_seconds": latency.control_image_seconds,
    }
    figures |= {name: value for name, value in of_images.items() if value is not None}
    if latency.peak_bytes and latency.control_peak_bytes:
        figures["memory"] = 100 * (latency.peak_bytes / latency.control_peak_bytes - 1)
    return figures

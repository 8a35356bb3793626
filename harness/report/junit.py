"""A record's figures as properties of its test, for JUnit files and whatever draws them."""

from __future__ import annotations

import math

from harness.results.records import Kind, Record
from harness.results.rounding import rounded


def properties(record: Record) -> list[tuple[str, str]]:
    """(name, value) pairs of one record: its case and verdict, each figure, and for a gate what it was compared with.

    A figure is under its name in ``ranking.csv`` (``harm``, in sd), its stored value under ``harm.baseline`` and how
    far it may be from that under ``harm.tolerance``. Empty for a record without figures.
    """
    figures = _figures(record)
    if not figures:
        return []
    pairs = [("case", record.case), ("verdict", record.verdict.status.value)]
    pairs += [(name, _number(value)) for name, value in figures.items()]
    for check in record.verdict.checks:
        stored = {"baseline": check.baseline, "tolerance": check.tolerance}
        pairs += [(f"{check.metric}.{what}", _number(value)) for what, value in stored.items() if value is not None]
    return pairs


def _figures(record: Record) -> dict[str, float]:
    if record.latency is not None:
        latency = record.latency
        timed = {
            "speed_up": latency.ratio,
            "speed_up_low": latency.low,
            "speed_up_high": latency.high,
            "theoretical_speed_up": latency.theory,
            "relative_time": latency.relative_time.value,
        }
        image = latency.image_speed_up
        return timed if image is None else {**timed, "image_speed_up": image}
    measured = record.measurement
    if measured is None:
        return {}
    return dict(measured.summary) | ({} if record.kind is Kind.CONTROL else {"images": float(measured.n)})


def _number(value: float) -> str:
    return f"{rounded(value):g}" if math.isfinite(value) else str(value)

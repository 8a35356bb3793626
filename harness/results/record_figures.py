"""The figures of one record by name, whatever it is a record of."""

from __future__ import annotations

from harness.results.records import Kind, Record


def figures_of(record: Record) -> dict[str, float]:
    """Every figure under its name in ``ranking.csv``; empty for a record without figures.

    Of images also how many there were, as ``images``; of a timing the speed-up with the ends of its interval.
    """
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

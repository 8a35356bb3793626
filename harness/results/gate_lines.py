"""What the gates of a run compared with: which tolerances were in force, and why cases were not compared at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.results.records import Kind, Record, Status

_NOT_COMPARED = (Status.INCOMPARABLE, Status.UNJUDGED, Status.MISSING)


def gate_lines(records: Sequence[Record]) -> tuple[str, ...]:
    """Lines for the foot of one checkpoint's table, none where no verdict says anything of them."""
    return (*_in_force(records), *_not_compared(records))


def _in_force(records: Sequence[Record]) -> list[str]:
    """``tolerances in force: noise floor (harm, latent drift); tolerances.toml "*" (collapsed)``."""
    metrics: dict[str, dict[str, None]] = {}
    for record in records:
        for check in record.verdict.checks:
            if record.kind is not Kind.CONTROL and check.source and check.tolerance is not None:
                metrics.setdefault(check.source, {})[check.metric.replace("_", " ")] = None
    said = "; ".join(f"{source} ({', '.join(names)})" for source, names in metrics.items())
    return [f"tolerances in force: {said}"] if said else []


def _not_compared(records: Sequence[Record]) -> list[str]:
    """``not compared with stored values: measured with other prompts than the baseline (57 cases, incomparable)``."""
    reasons = Counter(
        (record.verdict.notes[0], record.verdict.status.value)
        for record in records
        if record.verdict.status in _NOT_COMPARED and record.verdict.notes and not record.verdict.checks
    )
    return [
        f"not compared with stored values: {reason} ({count} record{'s' * (count > 1)}, {status})"
        for (reason, status), count in reasons.items()
    ]

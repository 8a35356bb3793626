"""A record's figures as properties of its test, for JUnit files and whatever draws them."""

from __future__ import annotations

import math

from harness.results.record_figures import figures_of
from harness.results.records import Record
from harness.results.rounding import rounded


def properties(record: Record) -> list[tuple[str, str]]:
    """(name, value) pairs of one record: its case and verdict, each figure, and for a gate what it was compared with.

    A figure is under its name in ``ranking.csv`` (``harm``, in sd), its stored value under ``harm.baseline`` and how
    far it may be from that under ``harm.tolerance``. Empty for a record without figures.
    """
    figures = figures_of(record)
    if not figures:
        return []
    pairs = [("case", record.case), ("verdict", record.verdict.status.value)]
    pairs += [(name, _number(value)) for name, value in figures.items()]
    for check in record.verdict.checks:
        stored = {"baseline": check.baseline, "tolerance": check.tolerance}
        pairs += [(f"{check.metric}.{what}", _number(value)) for what, value in stored.items() if value is not None]
    return pairs


def _number(value: float) -> str:
    return f"{rounded(value):g}" if math.isfinite(value) else str(value)

"""What changed since the stored values: the circumstances that red tests name, and the figures that moved most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import printable
from harness.report.text import number
from harness.results.columns import unit
from harness.results.records import Check, Record

_SAID = ("changed since the baseline: ", "changed since: ")  # lines of a failure's message
_MOST = 40  # figures that are named
_LONGEST = 400


def changes(records: Sequence[Record], index: Mapping[int, int]) -> dict[str, Any]:
    """JSON for the page's first section; ``index`` says by ``id(record)`` which case of the page it is of.

    ``compared`` figures have a stored value, ``same`` are equal to it in the six digits that are stored, ``moved`` are
    the others, those furthest outside their tolerance first.
    """
    pairs = [
        (record, check)
        for record in records
        for check in record.verdict.checks
        if check.baseline is not None and check.tolerance is not None
    ]
    moved = [(record, check) for record, check in pairs if not _same(check)]
    moved.sort(key=lambda pair: (not pair[1].status.red, -pair[1].excess, pair[0].case, pair[1].metric))
    return {
        "circumstances": _circumstances(records),
        "compared": len(pairs),
        "same": len(pairs) - len(moved),
        "outside": sum(check.status.red for _, check in pairs),
        "moved": [[index[id(record)], check_data(check)] for record, check in moved[:_MOST]],
        "more": max(0, len(moved) - _MOST),
    }


def check_data(check: Check) -> dict[str, Any]:
    """A figure against its stored value, as JSON."""
    return {
        "metric": printable(check.metric.replace("_", " ")),
        "unit": unit(check.metric),
        "value": number(check.value, ".5g"),
        "baseline": number(check.baseline, ".5g"),
        "tolerance": number(check.tolerance, ".2g"),
        "excess": None if check.baseline is None or not check.tolerance else check.excess,
        "difference": None if check.baseline is None else check.value - check.baseline,
        "status": check.status.value,
        "red": check.status.red,
        "source": printable(check.source),
    }


def _same(check: Check) -> bool:
    return f"{check.value:.6g}" == f"{check.baseline:.6g}"


def _circumstances(records: Sequence[Record]) -> list[str]:
    lines = (line for record in records for line in record.failure.split("\n"))
    said = (line.removeprefix(start) for line in lines for start in _SAID if line.startswith(start))
    return [printable(text)[:_LONGEST] for text in dict.fromkeys(said)]

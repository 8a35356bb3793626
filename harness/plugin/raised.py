"""What the journal says of a test that raised: a record of status ``error`` with the exception's first line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.ablation.case import Case
from harness.results.fingerprint import Fingerprint
from harness.results.records import Kind, Record, Status, Verdict

_LONGEST = 300  # characters of a line that are kept


def error_line(error: BaseException, *, type_name: bool = True) -> str:
    """The first line of what was raised, with the exception's type: ``TypeError: forward() got an unexpected ...``."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if not first:
        return type(error).__name__
    return (f"{type(error).__name__}: {first}" if type_name else first)[:_LONGEST]


def with_error(
    records: Sequence[Record],
    line: str,
    *,
    fingerprint: Fingerprint,
    case: Case | None,
    kind: Kind,
    test: str,
    nodeid: str,
    run: str,
) -> list[Record]:
    """The records of a test that raised ``line``, the last one with status ``error``.

    ``kind`` is what the test of a ``case`` was about to record. Where it had, the record keeps its figures and gets the
    new status; else one without figures is added. ``case`` is None for a test of the control, named ``test``.
    """
    kept = list(records)
    if case is None and not kept:
        verdict = Verdict(Status.ERROR, notes=(line,))
        return [Record.of_control(fingerprint, verdict, None, test=test, nodeid=nodeid, run=run)]
    if case is not None and all(record.kind is not kind for record in kept):
        verdict = Verdict(Status.ERROR, notes=(line,))
        return [*kept, Record.of(case, kind, fingerprint, verdict, nodeid=nodeid, run=run)]
    last = kept[-1]
    kept[-1] = replace(last, verdict=replace(last.verdict, status=Status.ERROR, notes=(*last.verdict.notes, line)))
    return kept

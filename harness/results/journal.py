"""The journal: one JSON line a record, flushed as it is written, so that a killed run loses one case at most."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import JournalError
from harness.files import parse_json
from harness.results.records import Record, from_json

FILE = "shard-1-of-1.jsonl"  # the one that a run writes
_PATTERN = "shard-*.jsonl"  # what is read: every journal in a run's folder


class Journal:
    """Appends records to ``reports/<run-id>/shard-1-of-1.jsonl``. Raises JournalError where it can't be written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise JournalError(f"can't write the journal {self.path}: {error.strerror or error}") from None

    def append(self, record: Record | dict[str, Any]) -> None:
        """Write and flush one record."""
        data = record.to_json() if isinstance(record, Record) else record
        self._stream.write(json.dumps(data, sort_keys=True, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file; the journal takes no more."""
        self._stream.close()


def read(run: Path) -> list[Record]:
    """The records of a run folder (or of one journal file), the last one of each case and kind.

    A last line without its newline is the case in flight when a run was killed, and is left out.
    Raises JournalError naming file and line where anything else is no record.
    """
    files = [run] if run.is_file() else sorted(run.glob(_PATTERN))
    if not files:
        raise JournalError(f"no journal in {run}: a run folder holds {_PATTERN} (see reports/)")
    return latest(record for path in files for record in _lines(path))


def read_if_any(run: Path) -> list[Record]:
    """As :func:`read`, but no records where a run left no journal: its process ended before the first case."""
    return read(run) if run.is_file() or any(run.glob(_PATTERN)) else []


def latest(records: Iterable[Record]) -> list[Record]:
    """With reruns the last record of a case and kind wins, in the place of the first."""
    kept: dict[tuple[str, str], Record] = {}
    for record in records:
        kept[record.kind, record.case] = record
    return list(kept.values())


def _lines(path: Path) -> Iterable[Record]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JournalError(f"can't read the journal {path}: {error}") from None
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield from_json(parse_json(line))
        except ValueError as error:
            if number == len(lines):
                return  # no newline after it: cut off in flight
            raise JournalError(f"{path} line {number} is no record: {error}") from None

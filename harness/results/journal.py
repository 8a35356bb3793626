"""The journal: one JSON line a record, flushed as it is written, so that a killed run loses one case at most."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import JournalError
from harness.files import parse_json, why_not_made, write_atomically
from harness.results.records import Record, from_json
from harness.spelling import did_you_mean

JOURNALS = "shard-*.jsonl"  # what is read: every journal in a run's folder
_MOST_SHARDS = 10_000
_DAMAGED = ".damaged"  # added to a journal's name, of the file that takes its lines that are no records


@dataclass(frozen=True, order=True)
class Shard:
    """One of the parts into which the cases of a run are split, counted from 1; a run of its own is 1 of 1."""

    number: int = 1
    count: int = 1

    @classmethod
    def of(cls, text: str) -> Shard:
        """From ``2/4``. Raises ValueError, with what is wrong, for anything that is no part of so many."""
        match = re.fullmatch(r"([0-9]{1,5})/([0-9]{1,5})", text)
        number, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= count <= _MOST_SHARDS:
            raise ValueError(f"{text[:60]!r}: takes I/N, the I-th of N parts: 1/4, 2/4, 3/4 or 4/4")
        return cls(number, count)

    @property
    def file(self) -> str:
        """The name of its journal."""
        return f"shard-{self.number}-of-{self.count}.jsonl"

    @property
    def complete(self) -> str:
        """The name of the file that says that all of its cases ran."""
        return f"shard-{self.number}-of-{self.count}.complete"

    @classmethod
    def of_file(cls, path: Path) -> Shard:
        """From the path of a journal. Raises JournalError where its name is no shard's."""
        match = re.fullmatch(r"shard-([0-9]{1,5})-of-([0-9]{1,5})\.jsonl", path.name)
        try:
            return cls.of(f"{match[1]}/{match[2]}" if match else path.name)
        except ValueError:
            raise JournalError(f"{path} is not named as the journal of a shard: shard-1-of-2.jsonl") from None

    def takes(self, index: int) -> bool:
        """Whether the case of that index, counted from 0, is in this part."""
        return index % self.count == self.number - 1


WHOLE = Shard()  # a run that is not split
FILE = WHOLE.file


class Journal:
    """Appends records to ``reports/<run-id>/shard-1-of-1.jsonl``. Raises JournalError where it can't be written.

    A run that goes on under its id begins on a fresh line. Lines of its earlier part that are no records are moved to
    a file beside the journal; ``notes`` say so.
    """

    def __init__(self, folder: Path, shard: Shard = WHOLE) -> None:
        self.path = folder / shard.file
        self._complete = folder / shard.complete
        self._new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.notes = tuple(_repair(self.path))
            self._complete.unlink(missing_ok=True)
            self._stream = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise JournalError(f"can't write the journal {self.path}: {error.strerror or error}") from None

    def append(self, record: Record | dict[str, Any]) -> None:
        """Write and flush one record. Raises JournalError where that fails, on a full disk for example."""
        data = record.to_json() if isinstance(record, Record) else record
        line = json.dumps(data, sort_keys=True, allow_nan=False) + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as error:
            raise JournalError(f"can't write the journal {self.path}: {error.strerror or error}") from None

    def withdraw(self) -> None:
        """Close the file, and remove it and the folders made for it where they are empty: the run never began."""
        self.close()
        with suppress(OSError):
            if not self.path.stat().st_size:
                self.path.unlink()
                for folder in self._new_folders:
                    folder.rmdir()  # fails where there is anything else in it

    def say_complete(self) -> None:
        """Leave a file beside the journal that says that all cases ran. Raises HarnessError."""
        write_atomically(self._complete, "")

    def close(self) -> None:
        """Close the file; the journal takes no more."""
        with suppress(OSError):  # what could not be written was said by append()
            self._stream.close()


def write_journal(folder: Path, records: Iterable[Record]) -> None:
    """Replace a run folder's journal by one of these records. Raises HarnessError where it can't be written."""
    lines = [json.dumps(record.to_json(), sort_keys=True, allow_nan=False) + "\n" for record in records]
    write_atomically(folder / FILE, "".join(lines))


def check_place(folder: Path) -> None:
    """Raise JournalError where a run folder can't be made, without making it: another process will."""
    if why := why_not_made(folder):
        raise JournalError(f"can't write the journal in {folder}: {why}")


def read(run: str | Path, left_out: Callable[[str], None] | None = None) -> list[Record]:
    """The records of a run folder (or of one journal file), the last one of each case and kind, measured alike.

    A last line without its newline is the case in flight when a run was killed, and is left out. Any other line that
    is no record is left out as well where ``left_out`` is given, and called with what was wrong; without it, raises
    JournalError naming file and line. Also raises where there is no journal, or no record in one with ``left_out``.
    """
    run = Path(run)
    files = [run] if run.is_file() else sorted(run.glob(JOURNALS))
    if not files:
        guess = did_you_mean(run.name, (path.parent.name for path in run.parent.glob(f"*/{JOURNALS}")))
        raise JournalError(f"no journal in {run}{guess}: a run folder holds {JOURNALS} (see reports/)")
    records: list[Record] = []
    for path in files:
        good, bad = _content(path)
        if bad and (left_out is None or not good):
            raise JournalError(f"{path} {bad[0].said}")
        if bad and left_out is not None:
            left_out(f"left out of {path}: {_said(bad)}")
        records += good
    return latest(records)


def read_whole(path: Path) -> list[Record]:
    """The records of one journal file. Raises JournalError for any line that is no record, a cut-off one too."""
    good, bad = _content(path, whole=True)
    if bad:
        raise JournalError(f"{path} {bad[0].said}")
    return good


def read_if_any(run: Path) -> list[Record]:
    """As :func:`read`, but no records where a run left no journal: its process ended before the first case."""
    return read(run) if run.is_file() or any(run.glob(JOURNALS)) else []


def latest(records: Iterable[Record]) -> list[Record]:
    """With reruns the last record of a case and kind wins, in the place of the first.

    What was measured differently (another dtype, judge, prompts ...) is no rerun.
    """
    kept: dict[tuple[str, str, str], Record] = {}
    for record in records:
        kept[record.kind, record.case, record.fingerprint.conditions] = record
    return list(kept.values())


class _BadLine(NamedTuple):
    """A line that is no record, as it stands in the file; ``said`` is why, with its number."""

    line: bytes
    said: str


def _content(path: Path, *, whole: bool = False) -> tuple[list[Record], list[_BadLine]]:
    """The records of a file and the lines that are none; one cut off in flight is one of these only of the ``whole``.

    Raises JournalError where the file can't be read.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise JournalError(f"can't read the journal {path}: {error.strerror or error}") from None
    lines = text.split(b"\n")
    good: list[Record] = []
    bad: list[_BadLine] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            good.append(from_json(parse_json(line.decode("utf-8"))))
        except ValueError as error:
            if whole or number < len(lines):  # else no newline after it: cut off in flight
                bad.append(_BadLine(line, f"line {number} is no record: {error}"))
    return good, bad


def _said(bad: Sequence[_BadLine]) -> str:
    return bad[0].said + (f", and {len(bad) - 1} more" if len(bad) > 1 else "")


def _repair(path: Path) -> Iterator[str]:
    """Let a journal end with a whole line, and move lines that are no records to a file beside it; what was done."""
    if not path.exists():
        return
    text = path.read_bytes()
    _, bad = _content(path, whole=True)
    if bad:
        beside = path.with_name(path.name + _DAMAGED)
        with beside.open("ab") as stream:
            stream.writelines(each.line + b"\n" for each in bad)
        yield f"{path.name}: {_said(bad)}; moved to {beside.name}, the rest is kept"
    damaged = {each.line for each in bad}
    kept = [line for line in text.split(b"\n") if line.strip() and line not in damaged]
    fixed = b"".join(line + b"\n" for line in kept)
    if fixed != text:
        write_atomically(path, fixed)

"""What was measured for a search, as JSON lines: a stopped search goes on from them.

The first line says what was measured on: weights, prompts, steps, versions. Every other line is one result, flushed to
the disk as soon as the batch that it was measured in is done; so a killed process loses that batch at most.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.ablation.plan import Plan, parse, split_stack
from harness.errors import DataError, JournalError
from harness.files import parse_json, write_atomically
from harness.results.fingerprint import Fingerprint, measured_differently
from harness.results.serialise import Finite, from_plain, to_plain
from harness.results.statistics import Interval
from harness.search.candidates import Candidate, StackPlans

_SCHEMA = 1


@dataclass(frozen=True)
class MeasuredOn:
    """What every result of a journal was measured on: the fingerprint, and which of its prompts and steps, 0-based.

    ``steps`` are empty where only images are measured.
    """

    fingerprint: Fingerprint
    prompts: tuple[int, ...]
    steps: tuple[int, ...] = ()

    def differences(self, other: MeasuredOn) -> list[str]:
        """Why results on both are not one search's: ``steps 1 3 -> 0 2``; none where they are."""
        changed = measured_differently(self.fingerprint, other.fingerprint)
        for name in ("prompts", "steps"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                changed.append(f"taken {name} {_text(mine)} -> {_text(theirs)}")
        return changed


def _text(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers)) or "none"


@dataclass(frozen=True)
class MeasuredError:
    """A velocity error, on all taken prompts or on few of them."""

    rough: bool
    error: Finite


@dataclass(frozen=True)
class MeasuredHarm:
    """A mean harm, in points of the judge's score, with its 95 % interval over prompts."""

    harm: Finite
    low: float
    high: float

    @property
    def interval(self) -> Interval:
        """The harm with its interval."""
        return Interval(self.harm, self.low, self.high)


@dataclass(frozen=True)
class Measured:
    """One result of a candidate.

    The line of a removal has its blocks under ``left_out``, that of any other candidate its plans, such as
    ``double: 0 2 2 2 4``, under ``plans``.
    """

    candidate: Candidate
    figures: MeasuredError | MeasuredHarm


@dataclass(frozen=True)
class MeasuredShares:
    """The share of a forward's time that each block has."""

    time_shares: tuple[Finite, ...]


Entry = Measured | MeasuredShares


@dataclass
class Journal:
    """The results of one journal file, and new ones appended to it.

    ``note`` says that the last line was cut off and is left out; it is empty otherwise.
    """

    path: Path
    on: MeasuredOn
    errors: dict[tuple[Candidate, bool], float] = field(default_factory=dict[tuple[Candidate, bool], float])
    harms: dict[Candidate, MeasuredHarm] = field(default_factory=dict[Candidate, MeasuredHarm])
    time_shares: tuple[float, ...] | None = None
    note: str = ""

    def append(self, entries: Iterable[Entry]) -> None:
        """Write results and flush them to the disk. Raises JournalError where that fails."""
        new = list(entries)
        text = "".join(json.dumps(_plain(entry), sort_keys=True) + "\n" for entry in new)
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise JournalError(f"can't write {self.path}: {error.strerror or error}") from None
        for entry in new:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        """Keep a result that the file holds."""
        if isinstance(entry, MeasuredShares):
            self.time_shares = entry.time_shares
        elif isinstance(entry.figures, MeasuredError):
            self.errors[entry.candidate, entry.figures.rough] = entry.figures.error
        else:
            self.harms[entry.candidate] = entry.figures


def open_journal(path: Path, on: MeasuredOn) -> Journal:
    """Begin a journal, or go on with the one that is there; a last line that was cut off is taken out of it.

    Raises JournalError where it was measured on something else, where a line of it is no result, or where it can't be
    read or written.
    """
    if path.exists():
        journal = read_journal(path)
        refuse_other(path, journal.on.differences(on))
        if journal.note:
            write_atomically(path, b"".join(line + b"\n" for line in path.read_bytes().split(b"\n")[:-1]))
        return journal
    header = {"schema": _SCHEMA, **to_plain(on)}
    write_atomically(path, json.dumps(header, sort_keys=True) + "\n")
    return Journal(path, on)


def refuse_other(path: Path, changed: Sequence[str]) -> None:
    """Raise JournalError where a journal was measured differently; ``changed`` says in what."""
    if changed:
        raise JournalError(f"{path} was measured differently: {'; '.join(changed)}; take another folder")


def read_journal(path: Path) -> Journal:
    """Read a journal. A last line without its newline was cut off, and is left out.

    Raises JournalError where it can't be read, or where any other line is no result.
    """
    try:
        *lines, last = path.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"can't read {path}: {error.strerror or error}") from None
    if not lines:
        raise JournalError(f"{path} is no journal of a search: it has no whole line")
    number = 1
    try:
        header = parse_json(lines[0].decode())
        if not isinstance(header, dict) or header.get("schema") != _SCHEMA:
            raise DataError(f"it is no object of schema {_SCHEMA}")
        journal = Journal(path, from_plain(MeasuredOn, header))
        for line in lines[1:]:
            number += 1
            journal.take(_entry(parse_json(line.decode())))
    except ValueError as error:
        raise JournalError(f"{path} is no journal of a search: line {number}: {error}") from None
    if last:
        journal.note = f"{path}: the last line was cut off; it is measured again"
    return journal


@dataclass(frozen=True)
class _LeftOut:
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class _Plans:
    plans: tuple[str, ...]


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry as the object of its line."""
    if isinstance(entry, MeasuredShares):
        return {**to_plain(entry)}
    if isinstance(entry.candidate, StackPlans):
        what: _LeftOut | _Plans = _Plans(tuple(f"{stack}: {plan}" for stack, plan in entry.candidate.by_stack))
    else:
        what = _LeftOut(tuple(sorted(entry.candidate)))
    return {**to_plain(what), **to_plain(entry.figures)}


def _entry(data: Any) -> Entry:
    """The entry of a line. Raises DataError, or PlanError for a text that is no plan."""
    if not isinstance(data, dict) or not data.keys() & {"error", "harm", "time_shares"}:
        raise DataError("it is no result")
    if "time_shares" in data:
        return from_plain(MeasuredShares, data)
    figures = from_plain(MeasuredError, data) if "error" in data else from_plain(MeasuredHarm, data)
    if "plans" not in data:
        return Measured(frozenset(from_plain(_LeftOut, data).left_out), figures)
    return Measured(StackPlans(tuple(map(_stack_and_plan, from_plain(_Plans, data).plans))), figures)


def _stack_and_plan(text: str) -> tuple[str, Plan]:
    stack, plan = split_stack(text)
    if stack is None or isinstance(plan, Plan):
        raise DataError(f"the plan {text[:60]!r} names no stack")
    return stack, parse(plan, stack=stack)

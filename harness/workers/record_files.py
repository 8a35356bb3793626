"""The records of workers: one file for each case and kind, in the subfolder ``records`` of a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from harness.errors import JournalError
from harness.files import parse_json
from harness.results.fingerprint import Fingerprint, measured_differently
from harness.results.records import Kind, Record, from_json
from harness.workers.store import Store
from harness.workers.work import Work

FOLDER = "records"

Records = Mapping[tuple[Kind, str], Record]  # by kind and case


def file_of(kind: Kind, case: str) -> str:
    """The file of a record: ``records/flux-tiny-double-L01-03-skip.quality.json``."""
    return f"{FOLDER}/{quote(case, safe='')}.{kind}.json"


def write(store: Store, record: Record) -> None:
    """Write a record's file in one step. Raises HarnessError where that fails."""
    text = json.dumps(record.to_json(), sort_keys=True, allow_nan=False) + "\n"
    store.write(file_of(record.kind, record.case), text.encode())


def read(store: Store, kind: Kind, case: str) -> Record | None:
    """One record; None where there is none, or none that can be read."""
    data = store.read(file_of(kind, case))
    try:
        return None if data is None else _record(data)
    except ValueError:
        return None


def read_all(store: Store, damaged: Callable[[str], None]) -> Records:
    """All records of a run folder. ``damaged`` is called with a line for each file that holds none."""
    records: dict[tuple[Kind, str], Record] = {}
    for name, data in store.read_all(FOLDER).items():
        try:
            record = _record(data)
        except ValueError as error:
            damaged(f"{name} is no record: {error}")
        else:
            records[record.kind, record.case] = record
    return records


def _record(data: bytes) -> Record:
    return from_json(parse_json(data.decode("utf-8")))


def is_done(record: Record | None) -> bool:
    """Whether a record need not be made again: something was measured, and nothing was raised."""
    return record is not None and record.done


def check_alike(records: Records, fingerprint: Fingerprint, run: str) -> None:
    """Raise JournalError where a run folder holds records that were measured differently than this process would."""
    for record in records.values():
        if record.checkpoint != fingerprint.checkpoint:
            raise JournalError(f"{run} holds records of checkpoint {record.checkpoint!r}; take another run folder")
        if other := measured_differently(record.fingerprint, fingerprint):
            raise JournalError(
                f"{run}: {record.case} was measured differently there ({', '.join(other)}); go on under the same "
                "conditions, or take another run folder"
            )


def wanted(work: Work) -> list[tuple[Kind, str]]:
    """The records that a work asks for, in order; a case in a window or in one pass of guidance has no latency."""
    out: list[tuple[Kind, str]] = []
    for entry in work.cases:
        out.append((Kind.QUALITY, entry.id))
        if work.measuring.latency and entry.window is None and entry.guidance_pass is None:
            out.append((Kind.LATENCY, entry.id))
    return out


def ordered(records: Records, work: Work) -> list[Record]:
    """The control's records, then those that a work asks for, in its order, as far as they are there."""
    control = [record for record in records.values() if record.kind is Kind.CONTROL]
    return control + [records[key] for key in wanted(work) if key in records]


def lacking(records: Records, work: Work) -> list[str]:
    """The cases without a record that a work asks for."""
    return list(dict.fromkeys(case for kind, case in wanted(work) if (kind, case) not in records))


def check_one_measurement(records: Sequence[Record], run: str) -> None:
    """Raise JournalError where records of one run folder were measured differently."""
    if records:
        by_key = {(record.kind, record.case): record for record in records}
        check_alike(by_key, records[0].fingerprint, run)

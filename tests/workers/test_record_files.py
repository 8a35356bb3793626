"""Records as files: one for each case and kind, damaged ones are said, other measurements are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import JournalError
from harness.results.records import Kind
from harness.workers import record_files
from harness.workers.store import Store
from harness.workers.work import CaseEntry, Measuring, Model, Work
from tests.helpers.records import latency, quality, raised


def test_a_record_is_read_back(tmp_path):
    store, records = Store(tmp_path), [quality("skip", 1.0), latency("skip", 1.2)]
    for record in records:
        record_files.write(store, record)
    assert store.names() == ["records/m-s-skip.latency.json", "records/m-s-skip.quality.json"]
    assert record_files.read(store, Kind.LATENCY, "m-s-skip") == records[1]
    assert list(record_files.read_all(store, pytest.fail).values()) == records[::-1]


def test_a_damaged_file_is_said_and_is_no_record(tmp_path):
    store = Store(tmp_path)
    record_files.write(store, quality("skip", 1.0))
    name = record_files.file_of(Kind.QUALITY, "m-s-skip")
    for damage in (b"", b"{", b"\xff\xfe", store.read(name)[:-20]):
        store.write(name, damage)
        lines = []
        assert record_files.read_all(store, lines.append) == {}
        assert record_files.read(store, Kind.QUALITY, "m-s-skip") is None
        assert len(lines) == 1
        assert lines[0].startswith(f"{name} is no record: ")


def test_what_raised_or_was_not_measured_is_not_done():
    assert record_files.is_done(quality("skip", 1.0))
    assert not record_files.is_done(None)
    assert not record_files.is_done(raised(quality("skip", 1.0), "line"))
    assert not record_files.is_done(replace(latency("skip", 1.2), latency=None))


def test_records_of_other_weights_or_another_checkpoint_are_refused():
    record = quality("skip", 1.0)
    records = {(record.kind, record.case): record}
    record_files.check_alike(records, replace(record.fingerprint, threads=9), "r")
    with pytest.raises(JournalError, match=r"^r: m-s-skip was measured differently there \(weights w -> x\); go on"):
        record_files.check_alike(records, replace(record.fingerprint, weights="x"), "r")
    with pytest.raises(JournalError, match=r"^r holds records of checkpoint 'm'"):
        record_files.check_alike(records, replace(record.fingerprint, checkpoint="n"), "r")
    other = replace(record, case="o", fingerprint=replace(record.fingerprint, dtype="bfloat16"))
    with pytest.raises(JournalError, match=r"dtype float32 -> bfloat16|dtype bfloat16 -> float32"):
        record_files.check_one_measurement([record, other], "r")


def test_what_a_work_asks_for_in_its_order():
    entries = (CaseEntry("m-s-swap", "s", "1 0", "swap"), CaseEntry("m-s-skip", "s", "0", "skip", window=(0, 1)))
    work = Work(Model("m"), Measuring(latency=True), entries)
    assert record_files.wanted(work) == [
        (Kind.QUALITY, "m-s-swap"),
        (Kind.LATENCY, "m-s-swap"),
        (Kind.QUALITY, "m-s-skip"),
    ]
    both = {(r.kind, r.case): r for r in (quality("skip", 1.0), quality("swap", 2.0))}
    assert [record.case for record in record_files.ordered(both, work)] == ["m-s-swap", "m-s-skip"]
    assert record_files.lacking(both, work) == ["m-s-swap"]  # its latency

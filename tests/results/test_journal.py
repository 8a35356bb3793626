"""A journal that was cut off in flight loses one line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from harness.ablation.grid import Ask, expand
from harness.errors import JournalError
from harness.results.journal import FILE, Journal, latest, read, read_if_any
from harness.results.records import Kind, Measurement, Record, Status, Verdict, from_json
from tests.helpers import hostile
from tests.helpers.records import FINGERPRINT, latency, quality

STACKS = {"double": 6}


def test_a_journal_cut_off_in_flight_loses_one_line(tmp_path):
    journal = Journal(tmp_path)
    for name in ("skip", "reverse", "repeat"):
        journal.append(quality(name, 0.5))
    journal.close()
    whole = journal.path.read_text()
    journal.path.write_text(whole[:-30])
    assert [r.strategy for r in read(tmp_path)] == ["skip", "reverse"]
    lines = whole.splitlines(keepends=True)
    journal.path.write_text(lines[0] + lines[1][:50] + "\n" + lines[2])
    with pytest.raises(JournalError, match="line 2 is no record"):
        read(tmp_path)


def test_every_line_comes_back_to_the_byte(tmp_path):
    records = [quality("skip", 0.5), latency("skip", 1.25), quality("reverse", float("nan"))]
    (case,) = expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], windows=[(0, 1)], steps=4)
    records.append(Record.of(case, Kind.QUALITY, FINGERPRINT, Verdict(Status.UNJUDGED, notes=("a note",)), nodeid="t"))
    fingerprint = replace(FINGERPRINT, metrics={"lpips": "x"}, offload="group", perturbed=("ulp=1",))
    measured = Measurement(2, 1, {"harm": (0.1, -1e-9)}, {"seed_sd": 1.5}, "f" * 64, {"lpips": "no weights"})
    records.append(Record.of_control(fingerprint, Verdict(Status.OK), measured, run="r"))
    journal, again = Journal(tmp_path / "first"), Journal(tmp_path / "again")
    for record in records:
        journal.append(record)
    for line in journal.path.read_text().splitlines():
        again.append(from_json(json.loads(line)))
    assert again.path.read_bytes() == journal.path.read_bytes()
    assert len(read(tmp_path / "again")) == len(records)


def test_journals_that_are_not_there(tmp_path):
    with pytest.raises(JournalError, match="no journal in"):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="can't write the journal"):
        Journal(tmp_path / "file" / "run")


def test_the_last_record_of_a_rerun_wins():
    first, again = quality("skip", 0.5), quality("skip", 0.7)
    assert latest([first, quality("repeat", 1.0), again]) == [again, quality("repeat", 1.0)]


@given(hostile.texts(quality("skip", 0.5).to_json()))
def test_any_line_of_a_journal_is_a_record_or_named(tmp_path_factory, line):
    path = tmp_path_factory.mktemp("run") / FILE
    path.write_text(line.replace("\n", " ") + "\n", encoding="utf-8", errors="surrogatepass")
    said = f"{path} line 1"
    try:
        assert len(read(path.parent)) <= 1
    except JournalError as error:
        said = str(error)
    assert str(path) in said


def test_a_run_without_a_journal_has_no_records_where_that_is_asked_for(tmp_path):
    assert read_if_any(tmp_path) == []
    assert read_if_any(tmp_path / "never begun") == []
    journal = Journal(tmp_path)
    assert read_if_any(tmp_path) == []
    journal.append(quality("skip", 0.5))
    journal.close()
    assert [r.strategy for r in read_if_any(tmp_path)] == ["skip"]

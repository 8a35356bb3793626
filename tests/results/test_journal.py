"""A journal that was cut off in flight loses one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation.grid import Ask, expand
from harness.errors import JournalError
from harness.results.journal import FILE, Journal, check_place, latest, read, read_if_any
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


def some(folder, *names):
    """A journal with records of these names."""
    journal = Journal(folder)
    for name in names:
        journal.append(quality(name, 0.5))
    journal.close()
    return journal


def test_a_run_that_goes_on_begins_on_a_fresh_line_and_puts_the_torn_one_aside(tmp_path):
    path = some(tmp_path, "skip", "reverse").path
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    journal = some(tmp_path, "repeat")
    assert [r.strategy for r in read(tmp_path)] == ["skip", "repeat"]
    (note,) = journal.notes
    assert note.startswith("shard-1-of-1.jsonl: line 2 is no record: ")
    assert note.endswith("; moved to shard-1-of-1.jsonl.damaged, the rest is kept")
    assert (tmp_path / "shard-1-of-1.jsonl.damaged").read_bytes() == whole.splitlines(keepends=True)[1][:-30] + b"\n"
    assert some(tmp_path, "other").notes == ()


def test_a_record_of_which_only_the_newline_is_missing_is_kept(tmp_path):
    path = some(tmp_path, "skip").path
    path.write_bytes(path.read_bytes()[:-1])
    journal = some(tmp_path, "repeat")
    assert [r.strategy for r in read(tmp_path)] == ["skip", "repeat"]
    assert journal.notes == ()
    assert [p.name for p in tmp_path.iterdir()] == [FILE]


def test_a_whole_journal_is_not_touched(tmp_path):
    path = some(tmp_path, "skip").path
    before = path.read_bytes()
    some(tmp_path)
    assert path.read_bytes() == before


def test_only_the_own_journal_is_repaired_as_another_shard_may_be_writing_its_own(tmp_path):
    some(tmp_path, "skip")
    other = tmp_path / "shard-2-of-2.jsonl"
    written = b"null\n\xff\xfe\n" + json.dumps(quality("repeat", 1.0).to_json()).encode() + b"\n[]"
    other.write_bytes(written)
    assert some(tmp_path, "reverse").notes == ()
    assert other.read_bytes() == written
    said = []
    assert sorted(r.strategy for r in read(tmp_path, left_out=said.append)) == ["repeat", "reverse", "skip"]
    assert "line 1 is no record" in said[0]
    assert ", and 1 more" in said[0]


def test_what_is_no_record_is_left_out_and_said_or_refused(tmp_path):
    path = some(tmp_path, "skip", "reverse").path
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + "5\n" + lines[1] + "{}\n")
    said = []
    assert [r.strategy for r in read(tmp_path, left_out=said.append)] == ["skip", "reverse"]
    assert said == [f"left out of {path}: line 2 is no record: record is 5, not an object, and 1 more"]
    with pytest.raises(JournalError, match="line 2 is no record"):
        read(tmp_path)
    path.write_text("5\n")
    with pytest.raises(JournalError, match="line 1 is no record"):
        read(tmp_path, left_out=said.append)


@given(st.lists(hostile.texts(quality("skip", 0.5).to_json()), max_size=3), st.booleans())
def test_a_run_goes_on_after_any_journal(tmp_path_factory, lines, cut):
    folder = tmp_path_factory.mktemp("run")
    text = "\n".join(lines) + ("" if cut else "\n")
    (folder / FILE).write_text(text, encoding="utf-8", errors="surrogatepass")
    some(folder, "repeat")
    assert "repeat" in {r.strategy for r in read(folder)}


def test_a_full_disk_is_one_line(tmp_path):
    journal = Journal(tmp_path)
    with Path("/dev/full").open("a", encoding="utf-8") as full:
        journal._stream = full
        with pytest.raises(JournalError, match=r"can't write the journal .*jsonl: No space left on device"):
            journal.append(quality("skip", 0.5))
        journal.close()


def test_what_was_measured_differently_is_no_rerun():
    first = quality("skip", 0.5)
    other = replace(first, fingerprint=replace(FINGERPRINT, dtype="bfloat16"))
    elsewhere = replace(first, fingerprint=replace(FINGERPRINT, capability="AVX2", threads=8, machine="other"))
    assert latest([first, other]) == [first, other]
    assert latest([first, elsewhere]) == [elsewhere]


def test_a_run_without_a_journal_has_no_records_where_that_is_asked_for(tmp_path):
    assert read_if_any(tmp_path) == []
    assert read_if_any(tmp_path / "never begun") == []
    journal = Journal(tmp_path)
    assert read_if_any(tmp_path) == []
    journal.append(quality("skip", 0.5))
    journal.close()
    assert [r.strategy for r in read_if_any(tmp_path)] == ["skip"]


def test_a_run_that_never_began_leaves_nothing(tmp_path):
    Journal(tmp_path / "reports" / "r").withdraw()
    assert list(tmp_path.iterdir()) == []
    some(tmp_path / "reports" / "r", "skip")
    Journal(tmp_path / "reports" / "r").withdraw()
    assert [r.strategy for r in read(tmp_path / "reports" / "r")] == ["skip"]
    (tmp_path / "mine").mkdir()
    Journal(tmp_path / "mine").withdraw()
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_place_where_no_run_folder_can_be_is_named_and_nothing_is_made(tmp_path):
    check_place(tmp_path / "reports" / "r")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"can't write the journal in .*/r: .*/file is no folder"):
        check_place(tmp_path / "file" / "reports" / "r")

"""Which shards make a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import JournalError
from harness.results.journal import Journal, Shard
from harness.results.merge import merged, shards_in
from tests.helpers.records import FINGERPRINT, quality


def shard(folder, number, count, *records):
    journal = Journal(folder, Shard(number, count))
    for record in records:
        journal.append(record)
    journal.close()
    journal.say_complete()


def test_all_shards_of_one_run_are_its_records(tmp_path):
    shard(tmp_path / "a", 1, 2, quality("skip", 1.0))
    shard(tmp_path / "b", 2, 2, quality("swap", 2.0))
    found = shards_in([tmp_path / "b", tmp_path / "a"])
    assert list(found) == [Shard(1, 2), Shard(2, 2)]
    assert [record.strategy for record in merged(found)] == ["skip", "swap"]
    assert merged(shards_in([tmp_path / "a", tmp_path / "b"])) == merged(found)


def test_shards_may_share_a_folder(tmp_path):
    for number, name in ((1, "skip"), (2, "swap"), (3, "reverse")):
        shard(tmp_path, number, 3, quality(name, 1.0))
    assert len(merged(shards_in([tmp_path]))) == 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "b" / "shard-2-of-2.jsonl").unlink(), "of 2 shards, 2 is missing"),
        (lambda path: shard(path / "c", 2, 2), "shard 2 of 2 is there twice"),
        (lambda path: shard(path / "c", 1, 3), "shards of different runs, of 2 and of 3"),
        (lambda path: (path / "b" / "shard-2-of-2.complete").unlink(), "of a run that did not end"),
        (lambda path: (path / "c").mkdir() or (path / "c" / "shard-x.jsonl").touch(), "not named as the journal"),
        (lambda path: (path / "c").mkdir() or (path / "c" / "shard-3-of-2.jsonl").touch(), "not named as the journal"),
    ],
    ids=["missing", "twice", "two runs", "not ended", "no number", "no such part"],
)
def test_what_is_no_whole_run_is_refused(tmp_path, spoil, message):
    shard(tmp_path / "a", 1, 2, quality("skip", 1.0))
    shard(tmp_path / "b", 2, 2, quality("swap", 2.0))
    spoil(tmp_path)
    with pytest.raises(JournalError, match=message):
        shards_in(sorted(tmp_path.iterdir()))


def test_a_shard_measured_otherwise_and_a_truncated_one_are_refused(tmp_path):
    shard(tmp_path / "a", 1, 2, quality("skip", 1.0))
    other = replace(quality("swap", 2.0), fingerprint=replace(FINGERPRINT, weights="others"))
    shard(tmp_path / "b", 2, 2, other)
    with pytest.raises(JournalError, match=r"measured m differently than .*: weights w.* -> others"):
        merged(shards_in([tmp_path / "a", tmp_path / "b"]))
    path = tmp_path / "b" / "shard-2-of-2.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(JournalError, match=r"shard-2-of-2.jsonl line 1 is no record"):
        merged(shards_in([tmp_path / "a", tmp_path / "b"]))


def test_nothing_to_merge(tmp_path):
    with pytest.raises(JournalError, match="no journal in"):
        shards_in([tmp_path])

"""The journal of a search: read as it was written, gone on with, and refused where it was measured differently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import HarnessError, JournalError
from harness.search.journal import (
    MeasuredError,
    MeasuredHarm,
    MeasuredOn,
    MeasuredShares,
    open_journal,
    read_journal,
)
from tests.helpers.records import quality

ON = MeasuredOn(quality("skip", 1.0).fingerprint, (0, 2), (1, 3))
ENTRIES = [
    MeasuredError((0, 3), False, 0.1 + 0.2),
    MeasuredError((0, 3), True, 0.25),
    MeasuredHarm((0, 3), 1.5, -0.5, float("inf")),
    MeasuredShares((0.1, 0.2)),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "search.jsonl"
    open_journal(path, ON).append(ENTRIES)
    return path


def test_results_are_read_as_they_were_written(path):
    journal = open_journal(path, ON)
    removal = frozenset({0, 3})
    assert journal.errors == {(removal, False): 0.1 + 0.2, (removal, True): 0.25}
    assert journal.harms == {removal: ENTRIES[2]}
    assert journal.harms[removal].interval.high == float("inf")
    assert journal.time_shares == (0.1, 0.2)
    assert not journal.note
    journal.append([MeasuredError((1,), False, 3.0)])
    assert read_journal(path).errors == journal.errors


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_line_that_was_cut_off_is_left_out_and_the_next_begins_anew(path, cut):
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"error": 0.1, "left_out": [5], "rough": false}\n'[:cut])
    journal = open_journal(path, ON)
    assert "the last line was cut off" in journal.note
    assert path.read_bytes() == whole
    journal.append([MeasuredError((1,), False, 3.0)])
    assert len(read_journal(path).errors) == 3


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(ON, steps=(0, 2)), "taken steps 1 3 -> 0 2"),
        (replace(ON, prompts=(0,)), "taken prompts 0 2 -> 0"),
        (replace(ON, fingerprint=replace(ON.fingerprint, weights="x")), "weights .* -> x"),
        (replace(ON, fingerprint=replace(ON.fingerprint, prompts="y")), "prompts .* -> y"),
    ],
)
def test_what_was_measured_differently_is_refused_and_kept(path, other, said):
    whole = path.read_bytes()
    with pytest.raises(JournalError, match=f"was measured differently: {said}; take another folder"):
        open_journal(path, other)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has no whole line"),
        (b"{}\n", "line 1: it is no object of schema 1"),
        (b"[]\n", "line 1"),
        (b"\xff\n", "line 1"),
    ],
)
def test_what_is_no_journal_is_one_line(tmp_path, content, said):
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=f"is no journal of a search: {said}"):
        read_journal(path)


def test_a_bad_line_is_named_by_its_number(path):
    lines = path.read_bytes().split(b"\n")
    lines[2] = b'{"error": "x", "left_out": [], "rough": true}'
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match=r"line 3: error is 'x', not a number"):
        read_journal(path)


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(HarnessError, match="can't write"):
        open_journal(tmp_path / "f" / "search.jsonl", ON)

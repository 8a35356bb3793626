"""The journal of a search: read as it was written, gone on with, and refused where it was measured differently."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.ablation.plan import parse
from harness.errors import HarnessError, JournalError
from harness.search.candidates import StackPlans
from harness.search.journal import (
    Measured,
    MeasuredError,
    MeasuredHarm,
    MeasuredOn,
    MeasuredShares,
    open_journal,
    read_journal,
)
from tests.helpers.records import quality

ON = MeasuredOn(quality("skip", 1.0).fingerprint, (0, 2), (1, 3))
REMOVAL = frozenset({0, 3})
REPEAT = StackPlans((("single", parse("0 2 2 2 (4|5)x3")), ("double", parse("1"))))
ENTRIES = [
    Measured(REMOVAL, MeasuredError(False, 0.1 + 0.2)),
    Measured(REMOVAL, MeasuredError(True, 0.25)),
    Measured(REMOVAL, MeasuredHarm(1.5, -0.5, float("inf"))),
    Measured(REPEAT, MeasuredError(False, 0.5)),
    Measured(REPEAT, MeasuredHarm(3.5, 1.5, 5.0)),
    MeasuredShares((0.1, 0.2)),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "new" / "search.jsonl"
    open_journal(path, ON).append(ENTRIES)
    return path


def test_results_are_read_as_they_were_written(path):
    journal = open_journal(path, ON)
    assert journal.errors == {(REMOVAL, False): 0.1 + 0.2, (REMOVAL, True): 0.25, (REPEAT, False): 0.5}
    assert journal.harms == {REMOVAL: ENTRIES[2].figures, REPEAT: ENTRIES[4].figures}
    assert journal.harms[REMOVAL].interval.high == float("inf")
    assert journal.time_shares == (0.1, 0.2)
    assert not journal.note
    journal.append([Measured(frozenset({1}), MeasuredError(False, 3.0))])
    assert read_journal(path).errors == journal.errors


def test_the_lines_of_both_kinds_of_candidates(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert lines[0] == {"left_out": [0, 3], "rough": False, "error": 0.1 + 0.2}
    assert lines[3] == {"plans": ["single: 0 2 2 2 (4|5)x3", "double: 1"], "rough": False, "error": 0.5}


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        (["0-2"], "the plan '0-2' names no stack"),
        (["single: 0 ("], "a '\\(' that is never closed"),
        ("single: 0", "plans is 'single: 0', not a list"),
    ],
)
def test_a_plan_that_is_none_is_named_by_its_line(path, plans, said):
    with path.open("a") as stream:
        stream.write(json.dumps({"plans": plans, "rough": False, "error": 1.0}) + "\n")
    with pytest.raises(JournalError, match=rf"line 8: .*{said}"):
        read_journal(path)


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_line_that_was_cut_off_is_left_out_and_the_next_begins_anew(path, cut):
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"error": 0.1, "left_out": [5], "rough": false}\n'[:cut])
    journal = open_journal(path, ON)
    assert "the last line was cut off" in journal.note
    assert path.read_bytes() == whole
    journal.append([Measured(frozenset({1}), MeasuredError(False, 3.0))])
    assert len(read_journal(path).errors) == 4


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

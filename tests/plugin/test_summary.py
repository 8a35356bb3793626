"""The last lines of a run, from records and findings alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.findings.claim import ClaimVerdict, Finding
from harness.plugin.summary import file_lines, findings, ranking, unused_lines
from harness.results.journal import Journal
from tests.helpers.options import DEFAULTS
from tests.helpers.records import quality


def test_the_journal_of_the_run_folder_is_ranked_and_written(tmp_path):
    for part in (1, 2):  # the second one goes on under the same run id
        journal = Journal(tmp_path)
        journal.append(quality(f"skip{part}", float(part)))
        journal.close()
    said: list[str] = []
    section = ranking(tmp_path, [], 120, colour=False, problem=said.append)
    assert section.text.startswith("least harmful variant: m (16 prompts)")
    assert section.text.index("skip1") < section.text.index("skip2")
    assert [path.name for path in section.files] == ["ranking.md", "ranking.csv", "ranking.json", "index.html"]
    assert all(path.exists() for path in section.files)
    assert said == []
    # A journal that is gone costs nothing but the records of an earlier part of the run.
    section = ranking(tmp_path / "none", [quality("skip3", 1.0)], 120, colour=False, problem=said.append)
    assert "skip3" in section.text
    assert said[0].startswith("no journal in")


def test_findings_are_a_table_and_two_files(tmp_path):
    finding = Finding("X1", "it can go", "our notes", "m", ClaimVerdict.NOT_APPLICABLE, (), "about another model")
    said: list[str] = []
    section = findings(tmp_path, [finding.to_json()], 120, colour=False, problem=said.append)
    assert "published claims, on m: 1 not applicable" in section.text
    page, lines = section.files
    assert (page.name, lines.name) == ("findings.md", "findings.jsonl")
    assert "about another model" in page.read_text()
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [finding.to_json()]
    assert findings(tmp_path, [], 120, colour=False, problem=said.append) == ("", ())
    assert said == []
    page.unlink()
    (page / "folder").mkdir(parents=True)
    section = findings(tmp_path, [finding.to_json()], 120, colour=False, problem=said.append)
    assert "published claims, on m" in section.text
    assert section.files == [lines]
    assert said[0].startswith(f"can't write {page}: ")


def test_paths_are_shown_from_where_pytest_was_started():
    files = [Path("/project/reports/r/ranking.md"), Path("/elsewhere/ranking.md")]
    assert file_lines(files, Path("/project")) == ["wrote reports/r/ranking.md", "wrote /elsewhere/ranking.md"]


STORED = {"m": ["m-s-a", "m-s-b", "m-s-c-steps-0-1"], "n": ["n-s-a"]}


def test_stored_values_that_no_test_asks_for_are_named():
    assert unused_lines(STORED, {"m": ["m-s-a"]}, DEFAULTS) == [
        "baseline of m: 1 entries that no collected case asks for: ['m-s-b']"
    ]  # not the window of steps, and nothing of n, of which no case was collected
    assert unused_lines(STORED, {"m": ["m-s-a", "m-s-b"]}, DEFAULTS) == []


@pytest.mark.parametrize(
    "option",
    [
        {"strategies": ("skip",)},
        {"plans": ("s: 0",)},
        {"checkpoint": "n"},
        {"windows": ((0, 1),)},
        {"passes": ("cond",)},
        {"groups": True},
    ],
)
def test_nothing_is_said_where_options_replace_the_grid(option):
    assert unused_lines(STORED, {"m": ["m-s-a"]}, replace(DEFAULTS, **option)) == []

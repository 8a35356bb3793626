"""What a night tells GitHub, within GitHub's limits."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.report.night import MOST_ANNOTATIONS, SUMMARY_BYTES, Night, error_annotations, issue_section, summary
from harness.results.records import Status
from tests.helpers.records import quality

GREEN = quality("fine", 0.1)


def red(name, message="harm 18.37 sd, baseline 14.37\nmore", status=Status.REGRESSION):
    return replace(quality(name, 9.0, status=status), failure=message)


def test_a_green_night_says_so_and_marks_nothing(tmp_path):
    night = Night("m", [GREEN], {"1": 0})
    assert not night.failed
    assert night.headline == "m: 0 of 1 result are red"
    assert error_annotations(night) == []
    assert summary(night, [tmp_path]).startswith("# m: 0 of 1 result are red\n")


@pytest.mark.parametrize(
    ("night", "said"),
    [
        (Night("m", [GREEN, red("bad")], {"1": 1}), "1 of 2 results is red; shard 1 ended with exit code 1"),
        (Night("m", [GREEN], {"1": 0, "2": 3}), "shard 2 ended with exit code 3"),
        (Night("m", [], {}, "there is no whole run"), "there is no whole run"),
    ],
)
def test_a_night_is_red_by_a_result_an_exit_code_or_a_lack(night, said):
    assert night.failed
    assert said in night.headline
    assert error_annotations(night)
    assert said.partition(";")[0] in issue_section(night)


def test_at_most_ten_annotations_and_the_last_counts_the_rest():
    few = error_annotations(Night("m", [red(f"n{i}", f"message {i}") for i in range(MOST_ANNOTATIONS)]))
    assert len(few) == MOST_ANNOTATIONS
    assert not few[-1].endswith("summary")
    many = error_annotations(Night("m", [red(f"n{i}", f"message {i}") for i in range(50)]))
    assert len(many) == MOST_ANNOTATIONS
    assert many[-1] == "::error title=m::and 41 more kinds of failure; all of them are in the summary"
    same = error_annotations(Night("m", [red(f"n{i}") for i in range(50)]))
    assert same == ["::error title=m-s-n0 and 49 more::harm 18.37 sd, baseline 14.37"]


def test_an_annotation_is_one_command_whatever_a_journal_holds():
    evil = red("x", "100 % worse\n::error::forged")
    (line,) = error_annotations(Night("m", [replace(evil, case="a,b:c\n::warning::x")]))
    assert "\n" not in line
    title, _, message = line.removeprefix("::error title=").partition("::")
    assert not re.search("[,:]", title)
    assert message == "100 %25 worse"


def test_a_summary_is_cut_at_a_line_below_the_limit(tmp_path):
    (tmp_path / "ranking.md").write_text("".join(f"| ä {i} | {'x' * 90} |\n" for i in range(20_000)))
    (tmp_path / "analysis.md").write_text("analysis\n")
    text = summary(Night("m", [GREEN]), [tmp_path])
    assert len(text.encode()) <= SUMMARY_BYTES < 2**20
    assert "Cut here: the whole page is longer than GitHub shows." in text
    assert "analysis" not in text
    lines = text.splitlines()
    assert all(line.endswith("x |") for line in lines if line.startswith("| "))
    (tmp_path / "ranking.md").write_text("```text\n" + "line\n" * 300_000)
    assert summary(Night("m", [GREEN]), [tmp_path]).count("```") == 2


def test_pages_are_taken_from_the_first_folder_that_has_them(tmp_path):
    for number, name in enumerate(("whole", "part")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ranking.md").write_text(f"ranking {number}\n")
    (tmp_path / "part" / "findings.md").write_text("findings\n")
    text = summary(Night("m", [GREEN]), [tmp_path / "whole", tmp_path / "part"])
    assert "ranking 0" in text
    assert "ranking 1" not in text
    assert "findings" in text


def test_the_section_of_an_issue_is_short_and_cannot_break_out():
    section = issue_section(Night("m", [red(f"n{i}", f"message `{i}` @everyone") for i in range(40)]))
    assert section.startswith("### m: 40 of 40 results are red")
    assert section.count("\n- ") == 31
    assert "- and 10 more" in section
    assert len(section.encode()) < 60_001

"""What is red, on the page and on the terminal."""

from __future__ import annotations

from dataclasses import replace

from harness.report.ranking_files import write_ranking
from harness.report.ranking_page import markdown
from harness.report.ranking_terminal import render
from harness.report.red_section import red_lines, red_markdown
from harness.results.ranking import rank
from harness.results.records import Kind, Status, Verdict
from tests.helpers.records import latency, quality, raised

FAILURE = 'harm 0.5 sd, baseline 0.1, limit 0.15\nlatents: moved\naccept with: pytest "t.py::t[m-s-b]" --dit-x'
RED = replace(quality("b", 0.5, status=Status.REGRESSION), failure=FAILURE)


def test_the_page_begins_with_how_many_are_red_and_why_and_then_comes_the_table():
    records = [quality("a", 0.5), RED, latency("a", 1.2)]
    lines = markdown(records, rank(records)).split("\n")
    assert lines[:11] == [
        "# 1 of 3 results is red",
        "",
        "2 ok, 1 regression.",
        "",
        "**m-s-b**",
        "",
        "```text",
        *FAILURE.split("\n"),
        "```",
    ]
    assert lines[12] == "# Least harmful variant"


def test_a_green_page_says_so_in_a_line():
    records = [quality("a", 0.5), quality("b", 0.7, status=Status.UNJUDGED)]
    lines = markdown(records, rank(records)).split("\n")
    assert lines[:3] == ["**None of 2 results is red** (1 ok, 1 unjudged).", "", "# Least harmful variant"]


def test_without_a_message_the_verdict_speaks():
    page = "\n".join(red_markdown([quality("b", 0.5, status=Status.REGRESSION)]))
    assert "\nharm 0.5 sd, baseline 0.1, limit 0.15\nharm " in page
    broken = raised(quality("b", 0.5), "TypeError: x")
    assert "**m-s-b**\n\n```text\nerror: TypeError: x\n```" in "\n".join(red_markdown([broken]))


def test_one_message_for_all_where_nothing_can_be_compared():
    verdict = Verdict(Status.INCOMPARABLE, notes=("measured with other prompts than the baseline",))
    records = [replace(quality(name, 0.5), verdict=verdict) for name in "abc"]
    page = "\n".join(red_markdown(records))
    assert page.count("other prompts") == 1
    assert "**m-s-a, m-s-b, m-s-c**" in page
    assert red_lines(records, 80)[1] == "m-s-a and 2 more: incomparable: measured with other prompts than the baseline"


def test_many_messages_are_a_line_each_after_the_first_twenty():
    records = [replace(RED, case=f"m-s-{i}", failure=f"{i}: {FAILURE}") for i in range(30)]
    page = red_markdown(records)
    assert page.count("```text") == 20
    assert len([line for line in page if line.startswith("- ")]) == 10
    assert len(red_lines(records, 80)) == 12
    assert red_lines(records, 80)[-1] == "... and 20 more"


def test_what_a_foreign_journal_says_stays_inside_its_block():
    hostile = "x\n```\n# heading <script>\n\x1b[31m" + "y" * 5000 + "\nz" * 500
    page = red_markdown([replace(RED, failure=hostile, case="m|<b>")])
    assert page.count("```") == 1
    block = page[page.index("```text") + 1 : page.index("```")]
    assert len(block) == 41
    assert max(map(len, page)) <= 400
    assert all(line.isprintable() for line in page)
    assert "**m\\|&lt;b>**" in page


def test_the_terminal_says_what_is_red_below_the_table_within_its_width():
    slow = replace(latency("b", 0.5), verdict=RED.verdict, failure="relative time 2, baseline 1, limit 1.15\nmore")
    text = render([quality("a", 0.5), RED, slow, raised(quality("c", 0.1), "TypeError: x")], 80, colour=False)
    lines = text.split("\n")
    start = lines.index("red (2 of 4 results):")
    assert lines[start + 1] == "m-s-b: harm 0.5 sd, baseline 0.1, limit 0.15"
    assert lines[start + 2] == "m-s-b (latency): relative time 2, baseline 1, limit 1.15"
    assert start > max(i for i, line in enumerate(lines) if line.lstrip().startswith("# "))  # the tables' headings
    assert max(map(len, lines)) <= 80
    assert red_lines([replace(RED, case="m-s-" + "b" * 100)], 80)[1].endswith("...")
    assert red_lines([quality("a", 0.5), raised(quality("c", 0.1), "TypeError: x")], 80) == []


def test_a_red_control_has_a_page_where_nothing_is_ranked(tmp_path):
    control = replace(RED, kind=Kind.CONTROL, case="m-control")
    assert [path.name for path in write_ranking(tmp_path, [control])] == ["ranking.md", "index.html"]
    assert (tmp_path / "ranking.md").read_text().startswith("# 1 of 1 result is red\n")
    assert write_ranking(tmp_path / "none", [replace(control, verdict=Verdict(Status.OK))]) == []

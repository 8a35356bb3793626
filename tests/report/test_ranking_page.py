"""The ranking as Markdown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.report.ranking_page import markdown
from harness.report.ranking_table import columns_of
from harness.results.ranking import rank
from tests.helpers.records import latency, quality, raised, skip


def test_the_page_says_what_a_shuffle_is():
    for strategy, said in (("shuffle.s0", True), ("random.s0", False), ("skip", False)):
        records = [quality(strategy, 0.5)]
        text = markdown(records, rank(records))
        assert ("at least as far from the model's own order as the average one" in text) is said


def test_bars_in_plans_do_not_end_a_markdown_cell():
    records = [quality("parallel", 0.5)]
    (ranking,) = rank(records)
    lines = markdown(records, [ranking]).splitlines()
    (row,) = (line for line in lines if "s-L01-03-parallel" in line)
    assert row.replace("\\|", "").count("|") == len(columns_of(ranking)) + 1


def test_what_a_foreign_journal_says_is_text_in_a_table():
    bad = "<script>alert(1)</script>|\n| \r\x1b[31m"
    names = dict.fromkeys(("stack", "place", "strategy", "plan", "checkpoint"), bad)
    records = [replace(quality("skip", 0.5), **names)]
    page = markdown(records, rank(records))
    assert "<" not in page
    assert not {c for c in page if not c.isprintable()} - {"\n"}
    rows = [line for line in page.split("\n") if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in rows[:3]}) == 1


def test_cases_that_raised_are_named_and_not_in_the_table():
    records = [quality("skip", 0.5), raised(quality("swap", 0.1), "TypeError: x")]
    page = markdown(records, rank(records))
    assert "**not ranked, as the test raised (1):**\n\n- `m-s-swap: TypeError: x`\n" in page
    assert not any("swap" in line for line in page.splitlines() if line.startswith("|"))
    alone = markdown(records[1:], rank(records[1:]))
    assert "nothing was measured" in alone
    assert "TypeError: x" in alone
    assert "|" not in alone


def test_the_page_begins_with_what_can_go_and_shows_the_figures():
    records = [*skip("L01", 0.5, 1.1, lost=1.0), *skip("L02", 0.7, 1.1, lost=1.4), quality("reverse", 0.1)]
    figures = [{"pareto": Path("x/pareto.png"), "blocks": Path("x/blocks.png")}]
    page = markdown(records, rank(records), figures)
    order = [
        "## m\n",
        "### What can go: m (16 prompts, timed in batches of 8)",
        "](pareto.png)",
        "](blocks.png)",
        "### Least harmful variant: m (16 prompts, timed in batches of 8), of those that leave out blocks",
        "### Variants that leave out no block, and so save no time",
        "### By strategy",
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    short = page[places[1] : places[2]]
    assert "| # | variant | harm [points] | speed-up | gate |" in short  # of made-up records: no CLIP, no drift
    assert "| s-L01-skip |" in short
    assert "s-L02-skip" not in short
    assert "| 1.0 [0.0, 2.0] |" not in short
    assert "| 1.0 [0.0, 2.0] |" in page
    assert "\n\n\n" not in page


def test_a_page_of_one_kind_of_variants_has_one_table_and_no_headings():
    records = [quality("reverse", 0.1), latency("reverse", 1.0, theory=1.0)]
    page = markdown(records, rank(records))
    assert "### " not in page  # nor a summary per strategy, where each has one case
    assert "![" not in page

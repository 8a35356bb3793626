"""A history in sentences: since when, what differs, and that nothing is said where nothing is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.history_text import lines, markdown, render
from harness.results.history import History
from harness.results.make_history import history, read_runs
from tests.helpers.nights import name, write_nights


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = write_nights(tmp_path_factory.mktemp("reports"), count=8, step=5, cases=("skip", "<b>x</b>\x1b[31m"))
    return history(read_runs([folder], pytest.fail))


def test_since_when_is_answered_with_run_date_and_versions(whole):
    title, red, first, second, changes, *each = lines(whole)
    since = f"since {name(5)} (2026-11-06 03:00)"
    before = f"{name(4)} (2026-11-05 03:00)"
    assert title == "8 runs, 2026-11-01 03:00 to 2026-11-08 03:00: 2 cases, 7 figures"
    assert red == "red in the last run (2):"
    assert second == f"  m-s-skip: regression {since}; not red before, in {before}; diffusers 0.41.0 -> 0.42.1"
    assert "\\x1b" in first
    assert changes == "changes (2), the newest first:"
    assert each[1].startswith(f"  m-s-skip: harm [sd] worse {since}: 1.992 -> 3.0")
    assert each[1].endswith(f"; before: {before}; diffusers 0.41.0 -> 0.42.1")


def test_the_terminal_folds_lines_and_colours_only_where_it_may(whole):
    plain = render(whole, 80, colour=False)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 80
    assert "\x1b[1m8 runs" in render(whole, 80, colour=True)


def test_markdown_keeps_foreign_texts_as_texts(whole):
    text = markdown(whole)
    assert text.startswith("# Since when?\n\n8 runs")
    assert "<b>" not in text
    assert text.count("\n- ") == 4


def test_where_nothing_is_red_and_nothing_changed_it_says_so(whole):
    quiet = History(whole.runs, tuple(replace(s, changes=()) for s in whole.series), ())
    assert lines(quiet)[1:] == ["nothing is red in the last run", "no figure changed beyond its noise"]
    assert "no figure changed beyond its noise." in markdown(quiet)


def test_what_was_red_all_along_has_no_run_before(whole):
    always = replace(whole, red=(replace(whole.red[0], since=0, green=None, differs=()),))
    assert lines(always)[2].endswith(f"since {name(0)} (2026-11-01 03:00), the first run here that has it")

"""Runs side by side: which cases stand in one line, what columns fit, and that foreign texts stay texts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from harness.report.side_by_side import NAME, NamedRun, cells, markdown, page, render, side_by_side, to_json, write
from harness.results.records import Status
from tests.helpers.records import FINGERPRINT, latency, quality

NEWER = replace(FINGERPRINT, versions={"torch": "2.16.0"})


def runs():
    first = [quality("skip", 0.5), quality("reverse", 1.5), latency("skip", 1.25)]
    second = [replace(quality("skip", 0.75, status=Status.REGRESSION), fingerprint=NEWER)]
    second += [replace(quality("swap", 1.0), fingerprint=NEWER)]
    return [NamedRun("monday", tuple(first)), NamedRun("tuesday <b>", tuple(second))]


def test_a_case_stands_in_one_line_whatever_runs_have_it():
    (table,) = side_by_side(runs())
    assert [case for case, _ in table.rows] == ["m-s-skip", "m-s-reverse", "m-s-swap"]
    lines = [cells(rows) for _, rows in table.rows]
    assert lines[0] == ("s-L01-03-skip", "0.50", "0.75", "-", "-", "1.25", "-", "ok", "regression")
    assert lines[1] == ("s-L01-03-reverse", "1.50", "-", "-", "-", "-", "-", "ok", "-")
    assert lines[2] == ("s-L01-03-swap", "-", "1.00", "-", "-", "-", "-", "-", "ok")
    assert table.differs == ("torch 2.15.0 -> 2.16.0",)


def test_a_checkpoint_of_one_run_alone_is_there_too():
    other = NamedRun("other", (replace(quality("skip", 1.0), checkpoint="n"),))
    tables = side_by_side([*runs(), other])
    assert [table.checkpoint for table in tables] == ["m", "n"]
    assert tables[0].differs[-1] == tables[1].differs[-1] == "not in both runs"
    assert [row is not None for row in tables[1].rows[0][1]] == [False, False, True]


def test_a_narrow_terminal_leaves_out_gates_and_says_so():
    text = render(side_by_side(runs()), 200, colour=False)
    assert "drift" not in text  # nobody measured it
    assert "not shown" not in text
    many = [replace(run, name=f"{run.name}{i}") for i in range(3) for run in runs()]
    narrow = render(side_by_side(many), 80, colour=False)
    assert max(map(len, narrow.splitlines())) <= 80
    assert "not shown at 80 columns: gate, speed-up (see side-by-side.md)" in narrow
    assert len([word for line in narrow.splitlines() for word in line.split() if word == "harm"]) == 6


def test_every_format_is_written_and_foreign_texts_stay_texts(tmp_path):
    problems = []
    paths = write(tmp_path, runs(), problems.append)
    assert [path.name for path in paths] == [f"{NAME}.{ending}" for ending in ("md", "csv", "json", "html")]
    assert problems == []
    rows = list(csv.DictReader(io.StringIO((tmp_path / f"{NAME}.csv").read_text())))
    assert [(row["run"], row["case"]) for row in rows] == [
        ("monday", "m-s-skip"),
        ("monday", "m-s-reverse"),
        ("tuesday <b>", "m-s-skip"),
        ("tuesday <b>", "m-s-swap"),
    ]
    (table,) = json.loads((tmp_path / f"{NAME}.json").read_text())["checkpoints"]
    assert table["runs"] == ["monday", "tuesday <b>"]
    first, second = table["rows"][0]["runs"]
    assert (first["harm"], first["speed_up"], second["speed_up"]) == (pytest.approx(0.5), 1.25, None)
    assert first["harm_low"] < first["harm"] < first["harm_high"]
    html = (tmp_path / f"{NAME}.html").read_text()
    assert "tuesday &lt;b&gt;" in html
    assert "tuesday <b>" not in html
    assert html == page(side_by_side(runs()))


def test_the_page_in_markdown_has_a_row_a_case():
    text = markdown(side_by_side(runs()))
    assert "- B: tuesday <b> (against A: torch 2.15.0 -> 2.16.0)" in text.replace("&lt;", "<")
    assert text.count("| s-L01-03-") == 3


def test_what_can_t_be_written_is_said(tmp_path):
    (tmp_path / f"{NAME}.md").mkdir()
    problems = []
    assert len(write(tmp_path, runs(), problems.append)) == 3
    assert len(problems) == 1


def test_twenty_seven_runs_have_letters_of_their_own():
    many = [NamedRun(str(i), runs()[0].records) for i in range(28)]
    (table,) = side_by_side(many)
    assert "harm [sd] AB |" in markdown([table])
    assert to_json([table])["schema"] == 1

"""The command history: what it prints and writes, and its refusals in one line."""

from __future__ import annotations

import json

import pytest

from harness.cli.main import main
from tests.helpers.nights import name, write_nights


def test_it_prints_since_when_and_writes_page_json_and_markdown(tmp_path, capsys):
    reports = write_nights(tmp_path / "reports", count=8, step=5)
    assert main(["history", str(reports), "--markdown", str(tmp_path / "summary.md")]) == 0
    out = capsys.readouterr().out
    assert f"m-s-skip: regression since {name(5)} (2026-11-06 03:00)" in " ".join(out.split())
    for path in (reports / "history.html", reports / "history.json", tmp_path / "summary.md"):
        assert f"wrote {path}" in out
    assert json.loads((reports / "history.json").read_text())["series"][0]["changes"] is not None
    assert (tmp_path / "summary.md").read_text().startswith("# Since when?")
    # What it wrote is no run: a second time gives the same.
    before = (reports / "history.html").read_text()
    assert main(["history", str(reports)]) == 0
    assert (reports / "history.html").read_text() == before


def test_runs_by_name_go_beside_each_other_or_where_out_says(tmp_path, capsys):
    reports = write_nights(tmp_path / "reports", count=3)
    runs = [str(reports / name(i)) for i in (2, 0)]
    assert main(["history", *runs, "--as-listed"]) == 0
    plain = json.loads((reports / "history.json").read_text())
    assert [run["name"] for run in plain["runs"]] == [name(2), name(0)]
    assert main(["history", *runs, "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"history.html", "history.json"}
    capsys.readouterr()


@pytest.mark.parametrize("place", ["nothing", "empty"])
def test_a_place_without_runs_is_refused_in_one_line(tmp_path, capsys, place):
    (tmp_path / "empty").mkdir()
    assert main(["history", str(tmp_path / place)]) == 4
    assert capsys.readouterr().err.startswith(f"error: no run in {tmp_path / place}: it holds neither")

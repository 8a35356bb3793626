"""A run's reports: the same bytes for the same records."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from PIL import Image

from harness.errors import HarnessError
from harness.report.ranking_files import write_ranking
from tests.helpers.records import latency, quality


def test_reports_are_the_same_for_the_same_records(tmp_path):
    records = [quality("a", 0.5), quality("b", 0.7), latency("a", 1.3)]
    first = {p.name: p.read_bytes() for p in write_ranking(tmp_path / "1", records)}
    again = {p.name: p.read_bytes() for p in write_ranking(tmp_path / "2", list(records))}
    assert first == again
    assert set(first) == {"ranking.md", "ranking.csv", "ranking.json", "pareto.png", "index.html"}


def test_no_records_no_reports(tmp_path):
    assert write_ranking(tmp_path, []) == []


def pictures(folder, *names):
    """Strips of the control and of some variants."""
    (folder / "images").mkdir(parents=True)
    for name in ("m-control", *names):
        Image.new("RGB", (654, 80)).save(folder / "images" / f"{name}.png")


def test_what_can_not_be_written_or_read_is_said_and_the_rest_is_written(tmp_path):
    pictures(tmp_path, "m-s-a", "m-s-b")
    (tmp_path / "images" / "m-s-b.png").write_bytes(b"no picture")
    (tmp_path / "ranking.md").mkdir()
    (tmp_path / "ranking.md" / "inside").write_text("")
    said = []
    written = write_ranking(tmp_path, [quality("a", 0.5), quality("b", 0.7)], said.append)
    assert [path.name for path in written] == ["ranking.csv", "ranking.json", "contact-m.png", "index.html"]
    assert said[0].startswith(f"can't write {tmp_path}/ranking.md: ")
    assert said[1].startswith(f"can't read the picture {tmp_path}/images/m-s-b.png: ")
    assert len(said) == 2
    with pytest.raises(HarnessError, match=r"can't write .*ranking\.md"):
        write_ranking(tmp_path, [quality("a", 0.5)])
    assert not list(tmp_path.rglob("*.partial"))


def test_there_is_no_contact_sheet_of_a_checkpoint_that_was_measured_in_two_ways(tmp_path):
    """Strips are kept by case: some would be of the other measurement."""
    pictures(tmp_path, "m-s-a")
    first = quality("a", 0.5)
    other = replace(first, fingerprint=replace(first.fingerprint, dtype="bfloat16"))
    written = write_ranking(tmp_path, [first, other])
    assert [path.name for path in written] == ["ranking.md", "ranking.csv", "ranking.json", "index.html"]
    page = (tmp_path / "ranking.md").read_text()
    assert "## m\n" in page
    assert "## m, dtype float32 -> bfloat16\n" in page
    assert page.count("fingerprint ") == 2
    assert first.fingerprint.digest in page
    assert other.fingerprint.digest in page


def test_a_spreadsheet_runs_nothing_of_a_journal(tmp_path):
    records = [replace(quality("skip", 0.5), plan="=1+1", stack="@s", place="+1", words=("-2",)), quality("b", 1.0)]
    write_ranking(tmp_path, [records[0], replace(records[1], plan="-")])
    rows = list(csv.DictReader((tmp_path / "ranking.csv").open()))
    assert {name: rows[0][name] for name in ("plan", "stack", "place", "words")} == {
        "plan": "'=1+1",
        "stack": "'@s",
        "place": "'+1",
        "words": "'-2",
    }
    assert rows[1]["plan"] == "-"  # the empty plan is no formula
    assert float(rows[0]["harm_low"]) < float(rows[0]["harm"])


@pytest.mark.parametrize("name", ["x/../../../escape", "/tmp/escape", "..", "a\nb", ""])
def test_a_foreign_journal_writes_and_reads_no_picture_outside_its_folder(tmp_path, name):
    run = tmp_path / "deep" / "er" / "run"
    pictures(run, "m-s-a")
    (run / "images" / "x").mkdir()
    Image.new("RGB", (654, 80)).save(tmp_path / "secret.png")
    record = quality("a", 0.5)
    foreign = replace(record, checkpoint=name)
    written = write_ranking(run, [foreign, replace(record, case="../../../../secret")], [].append)
    assert {path.parent for path in written} == {run}
    assert [path.name for path in tmp_path.iterdir()] in (["secret.png", "deep"], ["deep", "secret.png"])
    assert not list(tmp_path.rglob("escape*"))

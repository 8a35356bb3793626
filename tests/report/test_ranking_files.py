"""A run's reports: the same bytes for the same records."""

from __future__ import annotations

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
    assert set(first) == {"ranking.md", "ranking.csv", "ranking.json"}


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
    assert [path.name for path in written] == ["ranking.csv", "ranking.json", "contact-m.png"]
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
    assert [path.name for path in written] == ["ranking.md", "ranking.csv", "ranking.json"]
    page = (tmp_path / "ranking.md").read_text()
    assert "## m\n" in page
    assert "## m, dtype float32 -> bfloat16\n" in page
    assert page.count("fingerprint ") == 2
    assert first.fingerprint.digest in page
    assert other.fingerprint.digest in page

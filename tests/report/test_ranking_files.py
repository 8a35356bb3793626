"""A run's reports: the same bytes for the same records."""

from __future__ import annotations

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

"""The cells of the ranking's table."""

from __future__ import annotations

from harness.report.ranking_table import HEAD, cells
from harness.results.ranking import rank
from tests.helpers.records import quality


def test_what_was_not_measured_is_a_dash():
    (ranking,) = rank([quality("skip", 0.5)])
    row = dict(zip(HEAD, cells(ranking.rows[0]), strict=True))
    assert row["speed-up"] == row["FID/null"] == row["checker"] == "-"

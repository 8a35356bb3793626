"""The cells of the ranking's table."""

from __future__ import annotations

from harness.report.ranking_table import cells, columns_of, headings
from harness.results.ranking import rank
from tests.helpers.records import quality


def test_what_was_not_measured_is_a_dash():
    (ranking,) = rank([quality("skip", 0.5)])
    columns = columns_of(ranking)
    row = dict(zip(headings(columns), cells(ranking.rows[0], columns), strict=True))
    assert row["speed-up"] == row["FID/null"] == row["checker"] == "-"

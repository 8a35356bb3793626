"""The cells of the ranking's table."""

from __future__ import annotations

from dataclasses import replace

from harness.report.ranking_data import nested
from harness.report.ranking_table import cells, columns_of, foot, headings
from harness.results.ranking import rank
from harness.results.statistics import mean_interval
from tests.helpers.records import quality, skip


def test_what_was_not_measured_is_a_dash():
    (ranking,) = rank([quality("skip", 0.5)])
    columns = columns_of(ranking)
    row = dict(zip(headings(columns), cells(ranking.rows[0], columns), strict=True))
    assert row["speed-up"] == row["FID/null"] == row["checker"] == "-"


def test_harm_is_shown_in_points_first_with_both_ends_of_its_interval():
    """A plus-minus would read as even where few prompts lose much."""
    record = quality("skip", 0.5)
    harm = [0.0] * 15 + [8.0]
    summary = {**record.measurement.summary, "seed_sd": 2.0, "harm": 0.25, "clip_delta": -0.5}
    measured = replace(record.measurement, values={"harm": tuple(harm)}, summary=summary)
    (ranking,) = rank([replace(record, measurement=measured)])
    columns = columns_of(ranking)
    heads = headings(columns)
    assert heads.index("harm [points]") + 1 == heads.index("harm [sd]")
    row = dict(zip(heads, cells(ranking.rows[0], columns), strict=True))
    low, high = mean_interval(harm).low, mean_interval(harm).high
    assert high - 0.5 > 1.5 * (0.5 - low)
    assert (row["harm [points]"], row["harm [sd]"]) == (f"0.50 [{low:.2f}, {high:.2f}]", "0.25")
    short = dict(zip(heads, cells(ranking.rows[0], columns, short=True), strict=True))
    assert short["harm [points]"] == "0.50"


def test_harm_in_percent_of_what_there_is_to_lose_has_its_interval():
    ranking = rank(skip("L01", 0.5, lost=12.34))[0]
    columns = columns_of(ranking)
    heads = headings(columns)
    assert heads.index("harm [sd]") + 1 == heads.index("lost %")
    place = heads.index("lost %")
    assert cells(ranking.rows[0], columns)[place] == "12.3 [11.3, 13.3]"
    assert cells(ranking.rows[0], columns, short=True)[place] == "12.3"
    assert "100 % lost = 50.0 points: how much lower the control's images score for other prompts" in foot(ranking)
    (record,) = skip("L01", 0.5, lost=12.34)
    ends = {**record.measurement.summary, "lost_percent_low": float("-inf"), "lost_percent_high": float("inf")}
    (open_ended,) = rank([replace(record, measurement=replace(record.measurement, summary=ends))])
    assert cells(open_ended.rows[0], columns)[place] == "12.3"
    files = nested(open_ended)["rows"][0]
    assert (files["lost_percent"], files["lost_percent_low"], files["to_lose"]) == (12.34, None, 50.0)
    before = rank([quality("skip", 0.5)])[0]  # a journal from before there was the figure
    assert cells(before.rows[0], columns)[place] == "-"

"""A ranking for programs: every figure of a variant under its own name, and no number that JSON has no word for."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from harness.report.ranking_data import finite, frame, nested
from harness.results.ranking import rank
from tests.helpers.records import latency, quality, skip

RECORDS = [*skip("L01", 0.5, 1.2, lost=12.5), *skip("L02", 0.1, 1.1, lost=math.nan)]


def test_a_frame_has_a_row_for_each_variant_and_a_column_for_each_figure():
    table = frame(rank(RECORDS)).set_index("case")
    assert list(table.index) == ["m-s-L02-skip", "m-s-L01-skip"]
    figures = table.loc["m-s-L01-skip", ["rank", "harm", "speed_up", "lost_percent"]].tolist()
    assert figures == pytest.approx([2, 0.5, 1.2, 12.5])
    assert not {"summary", "latency"} & set(table.columns)


def test_what_is_no_number_is_null_in_json():
    (ranking,) = rank(RECORDS)
    first, second = json.loads(json.dumps(nested(ranking), allow_nan=False))["rows"]
    assert (first["lost_percent"], second["lost_percent"]) == (None, 12.5)
    assert finite({"a": [math.inf, 1.0, {"b": math.nan}]}) == {"a": [None, 1.0, {"b": None}]}


def test_a_ranking_by_speed_says_nothing_of_quality():
    timed = latency("skip", 1.2)
    (by_speed,) = rank([replace(timed, fingerprint=replace(timed.fingerprint, judge=""))])
    (by_harm,) = rank([quality("skip", 0.5)])
    of_quality = {"harm", "tier", "rank_low", "pareto"}
    assert of_quality <= set(nested(by_harm)["rows"][0])
    assert not of_quality & set(nested(by_speed)["rows"][0])

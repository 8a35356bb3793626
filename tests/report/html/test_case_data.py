"""One case as the page gets it."""

from __future__ import annotations

import json
from dataclasses import replace

from harness.report.html.case_data import CaseParts, case_data
from harness.report.html.shell import finite
from harness.report.ranking_table import columns_of
from harness.results.ranking import rank
from harness.results.records import Kind, Status, Verdict
from tests.helpers.records import PROMPTS
from tests.helpers.runs import control, small_run, timing, variant


def parts(case, records):
    (ranking,) = rank(records)
    row = next((row for row in ranking.rows if row.case == case), None)
    mine = tuple(record for record in records if record.case == case)
    return CaseParts(case, row, mine), columns_of(ranking)


def test_a_red_case_has_its_row_its_message_and_its_prompts():
    each, columns = parts("m-s-L03-skip", small_run())
    data = case_data(each, columns, ())
    assert data["red"]
    assert data["gate"] == "regression"
    assert data["single"] == 3
    assert data["removes"]
    assert len(data["cells"]) == len(data["sort"]) == len(columns)
    assert data["prompts"][-1] == 13.5
    assert len(data["prompts"]) == PROMPTS
    first = data["results"][0]
    assert first["headline"] == "harm 9 sd, baseline 8.1, limit 8.11"
    assert first["command"].startswith("pytest ")
    assert first["checks"][0]["red"]
    assert data["latency"]["ratio"] == 1.22
    assert data["interval"]["harm"][0] == 9.0
    json.dumps(finite(data), allow_nan=False)


def test_a_case_that_raised_has_no_row_and_its_message():
    each, columns = parts("m-s-L04-skip", small_run())
    data = case_data(each, columns, ())
    assert data["cells"] is None
    assert data["prompts"] is None
    assert data["results"][0]["message"] == "RuntimeError: boom"


def test_a_red_result_without_a_message_says_what_its_verdict_says():
    bad = variant("L01", "skip", 2.0, status=Status.REGRESSION)
    each, columns = parts(bad.case, [control(), bad])
    assert "harm 2 sd, baseline 1.8" in case_data(each, columns, ())["results"][0]["message"]


def test_a_time_that_is_red_makes_the_case_red_though_its_images_are_not():
    good = variant("L01", "skip", 2.0)
    slow = replace(timing(good, 1.1), verdict=Verdict(Status.REGRESSION))
    each, columns = parts(good.case, [control(), good, slow])
    data = case_data(each, columns, ())
    assert data["gate"] == "ok"
    assert data["red"]
    assert [result["kind"] for result in data["results"]] == [Kind.QUALITY.value, Kind.LATENCY.value]


def test_pictures_are_named_where_they_are_and_a_sheet_only_beside_the_control_s():
    each, columns = parts("m-s-L03-skip", small_run())
    files = {"m-s-L03-skip-sheet.webp", "m-s-L03-skip.png"}
    assert case_data(each, columns, files)["pictures"] == {"strip": "m-s-L03-skip.png"}
    files |= {"m-control-sheet.webp"}
    assert case_data(each, columns, files)["pictures"] == {
        "sheet": "m-s-L03-skip-sheet.webp",
        "control": "m-control-sheet.webp",
        "strip": "m-s-L03-skip.png",
    }


def test_a_case_whose_name_is_a_path_has_no_pictures_elsewhere():
    hostile = replace(variant("L01", "skip", 1.0), case="../../etc/passwd")
    data = case_data(CaseParts(hostile.case, None, (hostile,)), (), {"x.png"})
    assert data["pictures"] == {}

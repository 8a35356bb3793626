"""The files of a search: every plan with its figures and commands, and what is in one is in the others."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.ablation.plan import parse
from harness.ablation.removals import Blocks
from harness.report.search_files import SearchReport, write_search
from harness.results.statistics import Interval
from harness.search.candidates import StackPlans, text_of
from harness.search.front_search import FoundPlan, SearchResult
from harness.search.goal import Goal, Saving

GOAL = Goal(Blocks({"double": 3, "single": 6}, (0.1,) * 9), 0.2, Saving.TIME)
PLANS = (
    FoundPlan(frozenset({0, 4}), 0.2, Interval(1.5, 1.0, 2.0), asked=True, front=True),
    FoundPlan(frozenset({3, 4}), 0.3, Interval(4.0, 2.0, 6.0), asked=True),
    FoundPlan(frozenset({4}), 0.1, Interval(0.5, -0.5, 1.0), asked=False, front=True),
)
REPORT = SearchReport(SearchResult(GOAL, "evolution", PLANS, 120.5, 90), "my model", "m", 16)


def test_every_plan_has_its_row_and_its_commands():
    assert REPORT.title == (
        "m: the best of 90 sets of blocks that save 0.2 of a forward's time, by evolution at the cost of 120 "
        "evaluations; harm on 16 prompts"
    )
    assert len(REPORT.head) == len(REPORT.rows[0])
    assert REPORT.head[6] == "speed-up"
    assert REPORT.rows[0] == (
        *("1", "double: 1 2; single: 0 2-5", "skip", "1.50 [1.00, 2.00]", "0.2", "0.2", "1.250", "front"),
    )
    commands = REPORT.commands(PLANS[0])
    assert commands.export == (
        "python -m harness export --checkpoint 'my model' --plan 'double: 1 2' --plan 'single: 0 2-5' OUT"
    )
    assert commands.tests == (
        "pytest cases/ --dit-checkpoint='my model' --dit-plan 'double: 1 2' -k plan",
        "pytest cases/ --dit-checkpoint='my model' --dit-plan 'single: 0 2-5' -k plan",
    )


def test_csv_json_and_page_hold_the_same(tmp_path):
    paths = write_search(tmp_path / "out", REPORT, {"steps": [1]})
    assert [path.name for path in paths] == ["front.md", "front.csv", "front.json", "front.png"]
    rows = list(csv.DictReader(io.StringIO(paths[1].read_text())))
    stored = json.loads(paths[2].read_text())
    assert stored["measured_on"] == {"steps": [1]}
    page = paths[0].read_text()
    for row, data, plan in zip(rows, stored["plans"], PLANS, strict=True):
        assert row["plan"] == data["plan"] == text_of(plan.candidate, GOAL.blocks)
        assert float(row["harm"]) == data["harm"] == plan.harm.value
        assert float(row["speed_up"]) == pytest.approx(data["speed_up"], rel=1e-5)
        assert (row["front"] == "True") == data["front"] == plan.front
        assert row["export"] == data["export"]
        assert data["export"] in page
        for line in data["test"].split("; pytest "):
            assert line in page
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_a_plan_that_leaves_nothing_is_not_drawn():
    whole = Goal(Blocks.alike({"s": 3}), 3.0, Saving.RUNS, 3.0)
    plans = (
        FoundPlan(frozenset(range(3)), 2.0, Interval(90.0, 80.0, 99.0), asked=True, front=True),
        FoundPlan(frozenset({0}), 0.2, Interval(9.0, 8.0, 9.9), asked=False, front=True),
    )
    report = SearchReport(SearchResult(whole, "greedy", plans, 6, 6), "m", "m", 2)
    assert report.rows[0][6] == "-"
    assert report.figure().startswith(b"\x89PNG")
    json.loads(report.json({}))


def test_a_plan_that_can_not_be_saved_says_why_in_place_of_its_export_command(tmp_path):
    goal = Goal(GOAL.blocks, 0.2, Saving.PARAMETERS)
    repeat = StackPlans((("single", parse("0 2 2 2 4 5")),))
    plans = (FoundPlan(repeat, 0.1, Interval(1.0, 0.5, 1.5), asked=True, front=True, strategy="repeat"), *PLANS)
    result = SearchResult(goal, "evolution", plans, 120, 90, ("repeat",), 12, 9)
    report = SearchReport(result, "m", "m", 16, {repeat: "block 2 runs 3 times"})
    assert report.title.startswith(
        "m: the best of 90 sets of blocks and of 9 plans of repeat on a range that save 0.2 of the parameters, by "
    )
    assert report.left_out == (
        "not measured, for lack of evaluations: 3 of the 12 plans of repeat that save as much, those that save most"
    )
    assert report.head[6] == "times smaller"
    assert report.rows[0][1:3] == ("single: 0 2 2 2 4 5", "repeat")
    assert [row[2] for row in report.rows[1:]] == ["skip"] * 3
    assert report.commands(plans[0]).export is None
    assert report.commands(plans[0]).tests == (
        "pytest cases/ --dit-checkpoint=m --dit-plan 'single: 0 2 2 2 4 5' -k plan",
    )
    page, table, stored, figure = write_search(tmp_path, report, {})
    text = page.read_text()
    assert "# 1\n# block 2 runs 3 times\npytest cases/" in text
    assert "Not measured, for lack of evaluations: 3 of" in text
    (first, second, *_) = csv.DictReader(io.StringIO(table.read_text()))
    assert (first["strategy"], first["export"], first["not_exported"]) == ("repeat", "", "block 2 runs 3 times")
    assert second["export"]
    assert not second["not_exported"]
    data = json.loads(stored.read_text())
    assert (data["strategies"], data["range_plans"], data["range_plans_measured"]) == (["repeat"], 12, 9)
    assert data["plans"][0]["export"] is None
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert not REPORT.left_out

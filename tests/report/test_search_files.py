"""The files of a search: every plan with its figures and commands, and what is in one is in the others."""

from __future__ import annotations

import csv
import io
import json

import pytest

from harness.report.search_files import HEAD, SearchReport, write_search
from harness.results.statistics import Interval
from harness.search.front_search import FoundPlan, Goal, SearchResult
from harness.search.removals import Blocks

GOAL = Goal(Blocks({"double": 3, "single": 6}, (0.1,) * 9), 0.2, "of a forward's time")
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
    assert len(HEAD) == len(REPORT.rows[0])
    assert REPORT.rows[0] == ("1", "double: 1 2; single: 0 2-5", "1.50 [1.00, 2.00]", "0.2", "0.2", "1.250", "front")
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
        assert row["plan"] == data["plan"] == GOAL.blocks.text(plan.removal)
        assert float(row["harm"]) == data["harm"] == plan.harm.value
        assert float(row["speed_up"]) == pytest.approx(data["speed_up"], rel=1e-5)
        assert (row["front"] == "True") == data["front"] == plan.front
        assert row["export"] == data["export"]
        assert data["export"] in page
        for line in data["test"].split("; pytest "):
            assert line in page
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_a_plan_that_leaves_nothing_is_not_drawn():
    whole = Goal(Blocks.alike({"s": 3}), 3.0, "blocks", 3.0)
    plans = (
        FoundPlan(frozenset(range(3)), 2.0, Interval(90.0, 80.0, 99.0), asked=True, front=True),
        FoundPlan(frozenset({0}), 0.2, Interval(9.0, 8.0, 9.9), asked=False, front=True),
    )
    report = SearchReport(SearchResult(whole, "greedy", plans, 6, 6), "m", "m", 2)
    assert report.rows[0][5] == "-"
    assert report.figure().startswith(b"\x89PNG")
    json.loads(report.json({}))

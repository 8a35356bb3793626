"""Loss by task in ranking.md and ranking.json."""

from __future__ import annotations

import json
from dataclasses import replace

from harness.report.ranking_files import write_ranking
from harness.report.task_section import task_json, task_markdown
from harness.results.judge_check import JudgeCheck
from harness.results.ranking import rank
from tests.helpers.tasks import control, noise, variant

RECORDS = [
    variant("skip", {"colour": noise(0.4, 1), "relation": noise(0.5, 2)}, harm=3.0),
    variant("reverse", {"colour": noise(0.1, 3), "relation": noise(0.3, 4)}, harm=1.0),
]


def test_the_page_has_both_sections_in_the_order_of_the_ranking(tmp_path):
    write_ranking(tmp_path, RECORDS)
    page = (tmp_path / "ranking.md").read_text()
    assert "| variant | background (16) | count (16) | colour (16) |" in page
    at = [page.index(f"| m-s-L01-03-{name} |") for name in ("reverse", "skip")]
    assert page.index("### By attribute") < at[0] < at[1] < page.index("### Does order matter more for some tasks?")
    (row,) = (line for line in page.splitlines() if line.startswith("| relation |"))
    assert row.startswith("| relation | 0.300 [0.2")
    assert " | 0.60 [" in row


def test_json_has_every_interval(tmp_path):
    write_ranking(tmp_path, [*RECORDS, control(["counting"] * 8 + ["people"] * 8)])
    (ranking,) = json.loads((tmp_path / "ranking.json").read_text())
    by_attribute, by_category = ranking["by_task"]
    value, low, high = by_attribute["variants"]["m-s-L01-03-skip"]["colour"]
    assert low < value < high
    assert round(value, 6) == 0.4
    assert by_category["prompts"] == {"counting": 8, "people": 8}
    assert [table["reference"] for table in ranking["order_by_task"]] == ["colour", "counting"]


def test_there_are_no_sections_without_tasks_or_with_a_refused_judge():
    (ranking,) = rank(RECORDS)
    harms = [{"harm": record.measurement.values["harm"]} for record in RECORDS]
    bare = [replace(r, measurement=replace(r.measurement, values=v)) for r, v in zip(RECORDS, harms, strict=True)]
    assert task_markdown(bare, rank(bare)[0]) == []
    refused = replace(ranking, judge_check=JudgeCheck(8, 1.0, faults=("a fault",)))
    assert task_markdown(RECORDS, refused) == []
    assert task_json(RECORDS, refused) == {"by_task": [], "order_by_task": []}

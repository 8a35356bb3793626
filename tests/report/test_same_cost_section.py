"""The section of the ranking that compares ways of saving time."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.report.ranking_files import write_ranking
from harness.report.same_cost_section import same_cost_json, same_cost_markdown
from harness.results.ranking import rank
from tests.helpers.records import quality, skip
from tests.helpers.rivals import modifiers

SKIP = skip("L01", 3.0, 1.3)
RIVALS = modifiers("fewer-steps.3", 1.0, 4 / 3)


def test_the_page_and_the_json_have_it(tmp_path):
    write_ranking(tmp_path, [*SKIP, *RIVALS])
    page = (tmp_path / "ranking.md").read_text()
    section = page[page.index("### At the same cost") :]
    assert "| 1.1x | plan | `m-s-L01-skip` |" in section
    assert "| 1.1x | fewer steps | `m-s-fewer-steps.3` |" in section
    (ranking,) = json.loads((tmp_path / "ranking.json").read_text())
    assert [match["speed_up"] for match in ranking["same_cost"]] == [1.1, 1.25]


def test_without_rivals_it_says_how_to_measure_them():
    (ranking,) = rank(SKIP)
    (line, _) = same_cost_markdown(SKIP, ranking)
    assert "python -m harness rivals" in line
    assert same_cost_json(SKIP, ranking) == {}


def test_of_a_checkpoint_that_was_measured_in_two_ways_each_way_has_its_own(tmp_path):
    other = [
        replace(record, fingerprint=replace(record.fingerprint, dtype="bfloat16"))
        for record in [*skip("L01", 9.0, 1.3), *modifiers("fewer-steps.3", 7.0, 4 / 3)]
    ]
    write_ranking(tmp_path, [*SKIP, *RIVALS, *other])
    rankings = json.loads((tmp_path / "ranking.json").read_text())
    alone = []
    for records in ([*SKIP, *RIVALS], other):
        (ranking,) = rank(records)
        alone.append(json.loads(json.dumps(same_cost_json(records, ranking)["same_cost"])))
    assert [ranking["same_cost"] for ranking in rankings] == alone
    assert alone[0] != alone[1]


def test_where_no_plan_saves_enough_it_says_so():
    records = [*skip("L01", 3.0, 1.05, theory=1.05), *RIVALS]
    (ranking,) = rank(records)
    (line, _) = same_cost_markdown(records, ranking)
    assert line.startswith("No plan of this run is 1.1 times as fast")


@pytest.mark.parametrize("records", [[quality("reverse", 1.0)]])
def test_where_nothing_saves_time_there_is_no_section(records):
    assert same_cost_markdown(records, rank(records)[0]) == []

"""What changed since the stored values."""

from __future__ import annotations

from dataclasses import replace

from harness.report.html.changes import changes
from harness.results.records import Check, Status, Verdict
from tests.helpers.runs import variant


def record(name, *checks, failure=""):
    status = Status.REGRESSION if any(check.status.red for check in checks) else Status.OK
    return replace(variant("L01", name, 1.0), verdict=Verdict(status, checks), failure=failure)


def test_figures_are_counted_and_the_furthest_outside_comes_first():
    same = record("a", Check("harm", 1.0000001, 1.0, 0.1, Status.OK))
    near = record("b", Check("harm", 1.05, 1.0, 0.1, Status.OK), Check("drift", 3.0, None, None, Status.MISSING))
    far = record(
        "c", Check("harm", 2.0, 1.0, 0.1, Status.REGRESSION), failure="x\nchanged since the baseline: torch 1 -> 2"
    )
    records = [same, near, far]
    data = changes(records, {id(each): i for i, each in enumerate(records)})
    assert (data["compared"], data["same"], data["outside"], data["more"]) == (3, 1, 1, 0)
    assert [[number, check["excess"]] for number, check in data["moved"]] == [[2, 10.0], [1, 0.5000000000000004]]
    assert data["circumstances"] == ["torch 1 -> 2"]


def test_without_stored_values_nothing_was_compared():
    assert changes([record("a")], {}) == {
        "circumstances": [],
        "compared": 0,
        "same": 0,
        "outside": 0,
        "moved": [],
        "more": 0,
    }


def test_many_moved_figures_are_counted_and_not_all_named():
    records = [record(f"v{i}", Check("harm", 1.01 + i / 100, 1.0, 9.0, Status.OK)) for i in range(60)]
    data = changes(records, {id(each): i for i, each in enumerate(records)})
    assert len(data["moved"]) == 40
    assert data["more"] == 20
    assert data["moved"][0][0] == 59

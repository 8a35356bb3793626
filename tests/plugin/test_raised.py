"""The record of a test that raised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.ablation.case import by_hand
from harness.plugin.raised import error_line, with_error
from harness.results.records import Kind, Status, from_json
from tests.helpers.records import FINGERPRINT, latency, quality

CASE = by_hand("m", {"double": 4}, "double: 0 3")


def errors(records, line="TypeError: x", case=CASE, kind=Kind.QUALITY):
    return with_error(
        records, line, fingerprint=FINGERPRINT, case=case, kind=kind, test="test_it", nodeid="t.py::t[x]", run="r"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TypeError("forward() got 'x'\nand more"), "TypeError: forward() got 'x'"),
        (ValueError("\n\n  late  \n"), "ValueError: late"),
        (AssertionError(), "AssertionError"),
        (RuntimeError("x" * 1000), "RuntimeError: " + "x" * 286),
    ],
)
def test_the_first_line_of_what_was_raised(error, line):
    assert error_line(error) == line


def test_a_message_of_pytests_own_has_no_type():
    assert error_line(ValueError("no image\n"), type_name=False) == "no image"


def test_a_case_that_was_not_measured_gets_a_record_without_figures():
    (record,) = errors([])
    assert (record.kind, record.case, record.nodeid, record.run) == (Kind.QUALITY, CASE.id, "t.py::t[x]", "r")
    assert (record.verdict.status, record.error, record.measured) == (Status.ERROR, "TypeError: x", False)
    assert record.verdict.status.red
    assert from_json(record.to_json()) == record


def test_a_timing_that_raised_leaves_the_quality_record_alone():
    measured = quality("skip", 1.0)
    first, second = errors([measured], kind=Kind.LATENCY)
    assert first == measured
    assert (second.kind, second.error) == (Kind.LATENCY, "TypeError: x")


@pytest.mark.parametrize("made", [quality("skip", 1.0), latency("skip", 1.2)], ids=["quality", "latency"])
def test_what_was_measured_before_stays_in_its_record(made):
    (record,) = errors([made], kind=made.kind)
    assert record == replace(made, verdict=replace(made.verdict, status=Status.ERROR, notes=("TypeError: x",)))


def test_a_test_of_the_control_has_a_record_of_its_own():
    (record,) = errors([], case=None)
    assert (record.kind, record.case, record.error) == (Kind.CONTROL, "m-control[test_it]", "TypeError: x")

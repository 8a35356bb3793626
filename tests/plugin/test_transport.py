"""Records and findings travel with a test's report, as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.findings.claim import ClaimVerdict, Finding
from harness.findings.claim import from_json as finding_from_json
from harness.models.checkpoints.resolve import resolve
from harness.plugin.parameters import Target
from harness.plugin.transport import ReportData, attach, detach, fail, output_of
from harness.results.records import from_json
from tests.helpers.records import quality

TARGET = Target(resolve("flux-tiny"), Path("baselines"))
RECORD = quality("skip", 0.5)
FINDING = Finding("X1", "it can go", "our notes", "flux-tiny", ClaimVerdict.NOT_APPLICABLE, (), "about another model")


@pytest.fixture
def item():
    return SimpleNamespace(stash=pytest.Stash(), user_properties=[("mine", "1")])


def empty_report():
    return SimpleNamespace(user_properties=[("mine", "1")])


def test_what_a_test_measured_comes_out_of_its_report(item):
    output_of(item).records.append(RECORD)
    output_of(item).findings.append(FINDING)
    report = empty_report()
    attach(item, TARGET, report)
    report = SimpleNamespace(**json.loads(json.dumps(vars(report))))  # as xdist sends it
    data = detach(report)
    assert [from_json(record) for record in data.records] == [RECORD]
    assert [finding_from_json(finding) for finding in data.findings] == [FINDING]
    assert data.baselines == {"flux-tiny": "baselines"}


def test_a_rerun_begins_anew(item):
    output_of(item).records.append(RECORD)
    attach(item, TARGET, empty_report())
    assert output_of(item).records == []
    again = empty_report()
    attach(item, TARGET, again)
    assert detach(again).records == []


def test_figures_are_properties_of_the_test_and_a_rerun_replaces_them(item):
    for harm in (0.5, 0.75):
        output_of(item).records.append(quality("skip", harm))
        report = empty_report()
        attach(item, TARGET, report)
        for owner in (item, report):
            assert [pair for pair in owner.user_properties if pair[0] in {"mine", "harm"}] == [
                ("mine", "1"),
                ("harm", str(harm)),
            ]


def test_a_failed_test_keeps_its_message_in_its_last_record():
    records = [RECORD]
    with pytest.raises(pytest.fail.Exception, match="what is red\nand why"):
        fail(records, "what is red\nand why")
    assert records == [replace(RECORD, failure="what is red\nand why")]
    assert from_json(records[0].to_json()) == records[0]
    assert from_json({k: v for k, v in RECORD.to_json().items() if k != "failure"}) == RECORD  # of an older journal


def test_the_report_of_another_test_carries_nothing():
    assert detach(SimpleNamespace()) == ReportData([], [], {})

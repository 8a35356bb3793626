"""Records and findings travel with a test's report, as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.findings.claim import ClaimVerdict, Finding
from harness.findings.claim import from_json as finding_from_json
from harness.models.checkpoints.resolve import resolve
from harness.plugin.parameters import Target
from harness.plugin.transport import ReportData, attach, detach, output_of
from harness.results.records import from_json
from tests.helpers.records import quality

TARGET = Target(resolve("flux-tiny"), Path("baselines"))
RECORD = quality("skip", 0.5)
FINDING = Finding("X1", "it can go", "our notes", "flux-tiny", ClaimVerdict.NOT_APPLICABLE, (), "about another model")


@pytest.fixture
def item():
    return SimpleNamespace(stash=pytest.Stash())


def test_what_a_test_measured_comes_out_of_its_report(item):
    output_of(item).records.append(RECORD)
    output_of(item).findings.append(FINDING)
    report = SimpleNamespace()
    attach(item, TARGET, report)
    report = SimpleNamespace(**json.loads(json.dumps(vars(report))))  # as xdist sends it
    data = detach(report)
    assert [from_json(record) for record in data.records] == [RECORD]
    assert [finding_from_json(finding) for finding in data.findings] == [FINDING]
    assert data.baselines == {"flux-tiny": "baselines"}


def test_a_rerun_begins_anew(item):
    output_of(item).records.append(RECORD)
    attach(item, TARGET, SimpleNamespace())
    assert output_of(item).records == []
    again = SimpleNamespace()
    attach(item, TARGET, again)
    assert detach(again).records == []


def test_the_report_of_another_test_carries_nothing():
    assert detach(SimpleNamespace()) == ReportData([], [], {})

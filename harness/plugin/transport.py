"""The way of a test's records and findings to the journal: they travel with the test's report.

pytest-xdist sends a report from the worker that ran the test to the controller, with whatever JSON its attributes hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pytest

from harness.plugin.parameters import Target
from harness.report.junit import properties
from harness.results.records import Record

if TYPE_CHECKING:
    from harness.findings.claim import Finding

_RECORDS, _FINDINGS, _BASELINES = "dit_records", "dit_findings", "dit_baselines"  # attributes of a report


@dataclass
class ItemOutput:
    """What one test has measured so far, until its report takes it along."""

    records: list[Record] = field(default_factory=list[Record])
    findings: list[Finding] = field(default_factory=list["Finding"])


class ReportData(NamedTuple):
    """What a test's report carries: records and findings as JSON, and the folder of baselines by checkpoint."""

    records: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    baselines: dict[str, str]


_OUTPUT: pytest.StashKey[ItemOutput] = pytest.StashKey()


def output_of(item: pytest.Item) -> ItemOutput:
    """The output of a test, for its fixtures to append to."""
    return item.stash.setdefault(_OUTPUT, ItemOutput())


def has_output(item: pytest.Item) -> bool:
    """Whether a test has measured anything that no report carries yet."""
    output = item.stash.get(_OUTPUT, None)
    return output is not None and bool(output.records or output.findings)


def fail(records: list[Record], message: str) -> NoReturn:
    """Fail a test with a message alone, which its last record keeps for the page of the run."""
    records[-1] = replace(records[-1], failure=message)
    pytest.fail(message, pytrace=False)


def attach(item: pytest.Item, target: Target, report: pytest.TestReport) -> None:
    """Let a test's report carry its output. A rerun of the test begins with an empty one.

    The figures also become properties of the test, which JUnit files have, as do the reports of other plugins.
    """
    output = item.stash.get(_OUTPUT, ItemOutput())
    item.stash[_OUTPUT] = ItemOutput()
    measured: list[tuple[str, object]] = [pair for record in output.records for pair in properties(record)]
    for owner in (item, report):
        # As a rerun replaces the record, it replaces the properties.
        names = {name for name, _ in measured}
        owner.user_properties[:] = [pair for pair in owner.user_properties if pair[0] not in names] + measured
    setattr(report, _RECORDS, [record.to_json() for record in output.records])
    setattr(report, _FINDINGS, [finding.to_json() for finding in output.findings])
    setattr(report, _BASELINES, {target.name: str(target.baselines)})


def is_attached(report: pytest.TestReport) -> bool:
    """Whether a report is of a test of ours."""
    return hasattr(report, _RECORDS)


def detach(report: pytest.TestReport) -> ReportData:
    """What a report carries, maybe from another process; empty lists for that of any other test."""
    return ReportData(getattr(report, _RECORDS, []), getattr(report, _FINDINGS, []), getattr(report, _BASELINES, {}))

"""What a run folder holds of findings: nothing of an earlier part is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.findings.claim import ClaimVerdict, Finding
from harness.report.findings_files import add_findings, read_findings, write_findings

FIRST = Finding("X1", "it can go", "our notes", "m", ClaimVerdict.NOT_APPLICABLE, (), "about another model")
SECOND = replace(FIRST, claim="X2")
AGAIN = replace(FIRST, reason="measured again")


def test_what_is_written_is_read(tmp_path):
    assert read_findings(tmp_path, pytest.fail) == []
    page, lines = write_findings(tmp_path, [FIRST, SECOND], pytest.fail)
    assert (page.name, lines.name) == ("findings.md", "findings.jsonl")
    assert read_findings(tmp_path, pytest.fail) == [FIRST, SECOND]


def test_a_resumed_run_keeps_the_claims_that_it_did_not_measure_again(tmp_path):
    add_findings(tmp_path, [FIRST, SECOND], pytest.fail)
    add_findings(tmp_path, [AGAIN], pytest.fail)
    assert read_findings(tmp_path, pytest.fail) == [AGAIN, SECOND]
    assert "measured again" in (tmp_path / "findings.md").read_text()


def test_a_file_that_cannot_be_read_is_left_as_it_is(tmp_path):
    (tmp_path / "findings.jsonl").write_text("{")
    said = []
    assert add_findings(tmp_path, [FIRST], said.append) == []
    assert (tmp_path / "findings.jsonl").read_text() == "{"
    assert len(said) == 1
    assert said[0].endswith("; it is left as it is")

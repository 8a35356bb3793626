"""Under pytest-xdist the controller writes the journal, and wrong input is still one line."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from harness.results.journal import read
from tests.helpers.projects import CASES, CONTROL, LATENCY


def test_under_xdist_the_controller_writes_the_journal(project):
    pytest.importorskip("xdist")
    project.makepyfile(test_mine=CASES + CONTROL + LATENCY)
    options = ("--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly", "--benchmark-enable")
    result = project.runpytest_subprocess("-n2", *options)
    result.assert_outcomes(passed=7)
    result.stdout.fnmatch_lines(["*least harmful variant: flux-tiny*", "wrote reports?r?contact-flux-tiny.png"])
    records = read(project.path / "reports" / "r")
    assert len(records) == 7
    timed = [record for record in records if record.kind == "latency"]
    assert {record.latency for record in timed} == {None}  # also where pytest-benchmark is told to measure
    assert {record.verdict.notes for record in timed} == {("not measured: 2 workers share this device",)}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--dit-strategy=skp", "*unknown strategy 'skp'*"),
        ("--dit-prompts=none.txt", "*can't read the prompt file *none.txt*"),
        ("--dit-device=gpu", "*device 'gpu' can't be used here*"),
        ("--dit-judge=nowhere", "*judge 'nowhere' is neither a folder nor one of open_clip's names*"),
        ("--dit-reports=prompts.txt", "*can't write the journal in *: * is no folder"),
    ],
    ids=["collecting", "opening", "device", "judge", "reports"],
)
def test_wrong_input_under_xdist_is_no_internal_error(project, argument, message):
    pytest.importorskip("xdist")
    result = project.runpytest_subprocess("-n1", "--dit-run-id=r", "-p", "no:randomly", argument, "-k", "skip")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    assert [line for line in text.splitlines() if "ERROR" in line and fnmatch(line, message)][1:] == []
    assert any(fnmatch(line, message) for line in text.splitlines())
    assert "ERROR at setup" not in text
    assert not (project.path / "reports").exists()

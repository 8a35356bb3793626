"""Under pytest-xdist the controller writes the journal, and wrong input is still one line."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from harness.results.journal import read


def test_under_xdist_the_controller_writes_the_journal(project):
    pytest.importorskip("xdist")
    result = project.runpytest_subprocess("-n2", "--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*least harmful variant: flux-tiny*", "wrote reports?r?contact-flux-tiny.png"])
    assert len(read(project.path / "reports" / "r")) == 4


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

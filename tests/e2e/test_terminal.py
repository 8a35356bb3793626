"""What a run writes: a bar on a terminal and nowhere else, colours where they are wanted, and how to go on."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from harness.results.journal import read
from tests.helpers.projects import CASES, run
from tests.helpers.screen import Screen

INTERRUPTED = """
def pytest_runtest_call(item):
    if {stop!r} in item.name:
        raise KeyboardInterrupt
"""


def test_a_log_has_no_control_characters_and_a_table_of_80_columns(project, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    result = run(project, "-k", "skip")
    text = result.stdout.str()
    assert not {c for c in text if not c.isprintable()} - {"\n"}
    assert "tests, about" not in text  # too short a run for a line
    assert "━" not in text
    tables = text[text.index("what can go") : text.index("wrote reports")]
    assert max(map(len, tables.splitlines())) <= 80
    result.stdout.fnmatch_lines(["# tier variant * harm *CLIP drift gate*", "more columns, by --dit-columns or in *"])
    result = run(project, "-k", "skip", "--dit-columns=lost-percent", "--dit-columns=psnr,all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --dit-columns: there is no column 'psnr'*; there are all, rank, *"])


def test_an_interrupted_run_ranks_what_there_is_and_says_how_to_go_on(project):
    project.makeconftest(INTERRUPTED.format(stop="reverse"))
    options = ("-p", "no:randomly", "-p", "no:cacheprovider", "--dit-prompts=prompts.txt", "--dit-run-id=r")
    result = project.runpytest_inprocess(*options, "-k", "skip or reverse", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    text = result.stdout.str()
    assert "least harmful variant: flux-tiny" in text
    (line,) = [line for line in result.outlines if "go on with: " in line]
    done, _, command = line.partition("; go on with: ")
    assert done == "stopped after 1 of 2 tests"
    words = shlex.split(command)
    assert words[0] == "pytest"
    assert words[-1] == "--dit-resume=r"
    assert "--dit-run-id=r" not in words
    assert "skip or reverse" in words
    (project.path / "conftest.py").write_text("")
    result = project.runpytest_inprocess(*words[1:])
    result.assert_outcomes(passed=2, deselected=2)
    assert len([r for r in read(project.path / "reports" / "r") if r.kind == "quality"]) == 2
    assert "go on with" not in result.stdout.str()


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.nightly
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_on_a_terminal_there_is_a_bar_and_a_stopped_run_leaves_none(project, how):
    import pty  # is on POSIX only

    project.makepyfile(test_mine=CASES + "\n    import time\n    time.sleep(60 * ('reverse' in ablation.case.id))\n")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, cwd=project.path, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text, sent, deadline = "", False, time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            text += os.read(ours, 65536).decode("utf-8", "replace")
        except OSError:
            break
        if not sent and "double-L01-03-reverse" in text and "1/3 tests" in text:
            time.sleep(1)
            process.send_signal(how)
            sent = True
    assert process.wait(60) == pytest.ExitCode.INTERRUPTED
    screen = Screen().feed(text.replace("\x1b[0K", ""))
    assert not screen.cursor_hidden
    assert "tests ━" not in screen.text
    assert "stopped after 1 of 3 tests; go on with: pytest --dit-prompts=prompts.txt " in screen.text
    assert "least harmful variant: flux-tiny" in screen.text


def test_the_help_has_the_groups(pytester, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = pytester.runpytest_inprocess("--help").outlines
    headings = [line for line in lines if line.startswith("dit: ")]
    assert headings[0] == "dit: what is run:"
    assert headings[-1] == "dit: output:"
    first, second = (lines.index(heading) for heading in headings[:2])
    assert any(line.lstrip().startswith("--dit-plan") for line in lines[first:second])

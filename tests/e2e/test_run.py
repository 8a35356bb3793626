"""A run as the plugin's users meet it: ranked and journaled, broken off, disabled, and wrongly marked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

from harness.results.journal import read
from harness.surgery.view import BlockView
from tests.helpers.projects import CASES, baseline, run


def test_cases_are_ranked_and_journaled(project):
    result = run(project)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "dit: cpu (*threads); torch *, diffusers *, transformers *",
            "dit: flux-tiny (5 double, 10 single blocks, 4 steps, float32); no baseline for cpu-float32: *",
            "dit: 3 cases: 18 images and 24 of the control, 28 forwards of 6 images, 1.07 of the control's blocks",
            "dit: 6 prompts x 1 seed: harm is known to about ?1.48 sd where images change as much as *",
            "least harmful variant: flux-tiny (6 prompts)*",
            "*#*tier*variant*harm [[]points]*speed-up*drift*gate*",
            "*1 *- double-L01-03-*unjudged*",
            "1 sd = * points [[]*, *], of this checkpoint and these prompts alone",
            "no tiers: 6 prompts, and tiers need 16",
            "wrote reports?r?ranking.md",
            "wrote reports?r?ranking.csv",
            "wrote reports?r?ranking.json",
            "wrote reports?r?contact-flux-tiny.png",
            "wrote reports?r?index.html",
        ]
    )
    result.stdout.no_fnmatch_line("by strategy*")  # each median would be over one case
    assert result.outlines[-1].startswith("=") or "passed" in result.outlines[-1]
    records = read(project.path / "reports" / "r")
    assert sorted(r.kind for r in records) == ["control", "quality", "quality", "quality"]
    assert all(len(r.measurement.values["harm"]) == 6 for r in records if r.kind == "quality")
    ranking = json.loads((project.path / "reports" / "r" / "ranking.json").read_text())
    assert len(ranking[0]["rows"]) == 3
    assert not baseline(project).exists()


def test_the_journal_ranks_the_same_without_torch(project):
    run(project)
    folder = project.path / "reports" / "r"
    before = {path.name: path.read_bytes() for path in folder.glob("ranking.*")}
    for name in before:
        (folder / name).unlink()
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {'torch', 'diffusers', 'transformers', 'open_clip'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from harness.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "least harmful variant: flux-tiny" in done.stdout
    assert {path.name: path.read_bytes() for path in folder.glob("ranking.*")} == before


def test_an_ablation_that_did_not_take_hold_fails_plainly(project, monkeypatch):
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    result = run(project, "-k", "skip")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*the ablation did not take hold as written*"])
    assert "Traceback" not in result.stdout.str()
    assert "surgery.py" not in result.stdout.str()


def test_can_be_disabled_and_leaves_other_tests_alone(project):
    project.makepyfile(test_mine="def test_nothing():\n    pass\n")
    for arguments in ((), ("-p", "no:harness.plugin")):
        result = project.runpytest_subprocess(*arguments)
        result.assert_outcomes(passed=1)
        assert "dit" not in result.stdout.str().replace("pytest_dit", "").replace("dit-ablation", "")
    assert not (project.path / "reports").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX")
@pytest.mark.nightly
def test_a_terminated_run_still_ranks_what_there_is(project):
    project.makepyfile(test_mine=CASES + "\n\ndef test_stop(control):\n    import time\n    time.sleep(60)\n")
    project.makepyfile(test_mine=CASES + "\n    import time\n    time.sleep(60 * ('reverse' in ablation.case.id))\n")
    command = [sys.executable, "-m", "pytest", "--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly"]
    process = subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True)
    journal = project.path / "reports" / "r" / "shard-1-of-1.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and "\n" in journal.read_text()):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "least harmful variant: flux-tiny" in out
    assert (project.path / "reports" / "r" / "ranking.json").exists()


def test_marks_are_checked(project):
    project.makepyfile(test_mine="def test_a(ablation):\n    pass\n")
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs a mark that names its checkpoint*"])


def test_bad_marks_are_named(project):
    project.makepyfile(
        test_mine="import pytest\n@pytest.mark.dit('flux-tiny', 'skip')\ndef test_a(ablation):\n    pass\n"
    )
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*takes a checkpoint's name and then Asks*"])

"""What can't be written costs no measurement: the run goes on, and ends with its ranking and a line about it."""

from __future__ import annotations

from harness.results.journal import FILE, read
from tests.helpers.projects import go_on, run


def test_pictures_and_reports_that_can_not_be_written_cost_no_measurement(project):
    folder = project.path / "reports" / "r"
    (folder / "ranking.md" / "inside").mkdir(parents=True)
    (folder / "images").write_text("no folder")
    result = run(project, "-k", "control or skip or reverse")
    result.assert_outcomes(passed=3)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "least harmful variant: flux-tiny*",
            "wrote reports?r?ranking.csv",
            "wrote reports?r?ranking.json",
            f"error: can't write {folder}/images/*: *",
            f"error: can't write {folder}/ranking.md: *",
        ]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert len(read(folder)) == 3


def test_a_run_folder_that_is_deleted_in_mid_run_and_a_journal_on_a_full_disk_are_one_line_each(project):
    """The records are in memory, and are ranked from there."""
    project.makeconftest(
        "import shutil, pathlib\n"
        "def pytest_runtest_logfinish(nodeid):\n"
        f"    shutil.rmtree({str(project.path / 'reports' / 'r')!r}, ignore_errors=True)\n"
    )
    result = run(project, "-k", "skip or reverse")
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["least harmful variant: flux-tiny*", "*L01-03-*", "*L01-03-*", "error: no journal in *"]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_torn_journal_goes_on_and_is_ranked(project):
    run(project, "-k", "skip")
    path = project.path / "reports" / "r" / FILE
    path.write_bytes(path.read_bytes() + path.read_bytes()[:500])
    result = go_on(project, "--dit-resume=r", "-k", "reverse")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "  shard-1-of-1.jsonl: line 2 is no record: *; moved to *",
            "*L01-03-*",
            "*L01-03-*",
            "wrote reports?r?ranking.md",
        ]
    )
    assert len(read(path.parent)) == 2

"""Runs of the cases in a pytest of their own; here a function writes what pytest would have written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.cli.case_runs import CaseRuns, contents, execute
from harness.errors import HarnessError

PYTHON = Path("some") / "python"


@pytest.fixture
def cases(tmp_path):
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "test_it.py").write_text("ONE = 1\n")
    return folder


class Runs:
    """CaseRuns whose pytest notes how it was called and ends as it is told."""

    def __init__(self, cases, *arguments, code=0):
        self.calls, self.code, self.cases, self.reports = [], code, cases, cases.parent / "reports"
        self.runs = CaseRuns(cases, self.reports, arguments, self.execute)

    def execute(self, command):
        self.calls.append(list(command))
        options = dict(word.split("=", 1) for word in command if word.startswith("--dit-r"))
        folder = Path(options["--dit-reports"]) / options["--dit-run-id"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "journal").write_text(str(len(self.calls)))
        return self.code


def test_pytest_is_called_with_the_places_and_the_options(cases):
    made = Runs(cases, "-k", "flux")
    folder = made.runs.make("r", PYTHON, "--dit-dtype=float32")
    assert folder == made.reports / "r"
    command = [str(PYTHON), "-m", "pytest", str(cases), "-q", "--benchmark-skip", "--continue-on-collection-errors"]
    options = ["--dit-run-id=r", f"--dit-reports={made.reports}", "--dit-dtype=float32", "-k", "flux"]
    assert made.calls == [command + options]


def test_a_run_is_made_anew(cases):
    made = Runs(cases)
    (made.reports / "r").mkdir(parents=True)
    (made.reports / "r" / "old").touch()
    for _ in range(2):
        made.runs.make("r", PYTHON)
    assert [p.name for p in (made.reports / "r").iterdir()] == ["journal"]
    assert len(made.calls) == 2


def test_red_cases_are_a_result(cases):
    assert Runs(cases, code=1).runs.make("r", PYTHON).exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (3, "something broke"),
        (4, "can't be called so"),
        (5, "no case is selected"),
        (-11, "something broke"),
    ],
)
def test_any_other_end_is_an_error(cases, code, why):
    made = Runs(cases, code=code)
    with pytest.raises(HarnessError, match=rf"reports/r is not complete: pytest ended with exit code {code} \(.*{why}"):
        made.runs.make_once("r", PYTHON, made_with="a")
    attempt = made.runs.attempt_once("r", PYTHON, made_with="a")
    assert attempt.problem.startswith(f"pytest ended with exit code {code} (")
    made.code = 0
    made.runs.make_once("r", PYTHON, made_with="a")
    assert len(made.calls) == 3  # what was not complete doesn't count


@pytest.mark.parametrize("code", [2, -2, -9, -15, 130, 137, 143])
def test_an_interrupted_run_is_no_result_and_is_made_again(cases, code):
    made = Runs(cases, code=code)
    for way in (made.runs.attempt_once, made.runs.make_once):
        with pytest.raises(HarnessError, match=rf"reports/r is not complete: .* killed \(exit code {code}"):
            way("r", PYTHON, made_with="a")
    with pytest.raises(HarnessError, match="interrupted"):
        made.runs.attempt("r", PYTHON)
    made.code = 0
    assert made.runs.attempt_once("r", PYTHON, made_with="a").problem == ""
    assert len(made.calls) == 4


def test_a_run_without_a_single_case_is_not_complete(cases, tmp_path):
    """As where no case file can be imported under a version."""
    runs = CaseRuns(cases, tmp_path / "reports", (), lambda command: 1)
    assert runs.attempt_once("r", PYTHON, made_with="a").problem == "pytest ended with exit code 1 and no case ran"


def test_a_complete_run_is_not_made_again(cases):
    made = Runs(cases)
    folders = {made.runs.make_once("r", PYTHON, "--dit-quick", made_with="a") for _ in range(3)}
    assert folders == {made.reports / "r"}
    assert len(made.calls) == 1


@pytest.mark.parametrize("what", ["packages", "options", "arguments", "cases"])
def test_it_is_made_again_where_something_changed(cases, what):
    first = Runs(cases)
    first.runs.make_once("r", PYTHON, made_with="a")
    if what == "cases":
        (cases / "test_it.py").write_text("ONE = 2\n")
    second = Runs(cases, *(["-k", "x"] if what == "arguments" else []))
    options = ["--dit-quick"] if what == "options" else []
    second.runs.make_once("r", PYTHON, *options, made_with="b" if what == "packages" else "a")
    assert len(second.calls) == 1


def test_a_missing_folder_of_cases_is_named(tmp_path):
    with pytest.raises(HarnessError, match=r"there is no \S*cases, where .*; give --cases FOLDER"):
        CaseRuns(tmp_path / "cases", tmp_path, ())


def test_contents_are_names_and_bytes_of_files_but_bytecode(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("1")
    before = contents(tmp_path)
    (tmp_path / "a" / "__pycache__").mkdir()
    (tmp_path / "a" / "__pycache__" / "x.pyc").write_text("1")
    (tmp_path / "empty").mkdir()
    assert contents(tmp_path) == before
    (tmp_path / "a" / "x.py").rename(tmp_path / "a" / "y.py")
    assert contents(tmp_path) != before
    assert contents(tmp_path / "a" / "y.py") != contents(tmp_path)
    assert contents(tmp_path / "nothing") == contents(tmp_path / "empty")


def test_a_command_is_really_run(tmp_path):
    assert execute([sys.executable, "-c", "raise SystemExit(3)"]) == 3

"""Runs without any fault: their circumstances, what is not made twice, and how many were red."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from harness.cli import repeat
from harness.cli.main import main
from harness.errors import HarnessError
from harness.gates.validation.perturbations import read
from harness.results.journal import Journal
from harness.results.records import Status
from tests.helpers.records import quality


def parsed(*words):
    parser = argparse.ArgumentParser()
    repeat.add_arguments(parser)
    return parser.parse_args(words)


class Pytest:
    """Writes a journal of one case, as the plugin does; from run ``red`` on it is a regression."""

    def __init__(self, red=10**6):
        self.red, self.calls = red, []

    def __call__(self, command):
        options = dict(word.split("=", 1) for word in command if word.startswith("--dit-r"))
        index = int(options["--dit-run-id"])
        self.calls.append((index, [w.removeprefix("--dit-perturb=") for w in command if "perturb" in w], command))
        journal = Journal(Path(options["--dit-reports"]) / options["--dit-run-id"])
        journal.append(quality("skip", 1.0, status=Status.REGRESSION if index >= self.red else Status.OK))
        journal.close()
        return int(index >= self.red)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases").mkdir()
    return tmp_path


def test_circumstances_are_those_of_the_number():
    assert [repeat.circumstances(i) for i in range(3)] == [repeat.circumstances(i) for i in range(3)]
    drawn = [repeat.circumstances(i) for i in range(200)]
    assert {c.partition("=")[0] for d in drawn for c in d} == {"threads", "batch", "cpu", "sdpa", "ulp"}
    assert len({tuple(d) for d in drawn}) > 100
    for perturbations in drawn:
        assert [str(read(text)) for text in perturbations] == perturbations  # the option takes every one


def test_the_first_circumstances_are_as_they_always_were():
    """Runs with these numbers were published."""
    assert repeat.circumstances(0) == ["threads=4", "batch=24", "sdpa=math", "ulp=2"]
    assert repeat.circumstances(1) == ["threads=2", "batch=32", "sdpa=math"]


def test_the_runs_are_made_and_counted(folder, capsys):
    pytest_ = Pytest()
    assert repeat.run(parsed("3"), execute=pytest_) == 0
    assert [index for index, *_ in pytest_.calls] == [0, 1, 2]
    assert [changes for _, changes, _ in pytest_.calls] == [repeat.circumstances(i) for i in range(3)]
    assert all("--dit-quick" in command for *_, command in pytest_.calls)
    told = capsys.readouterr().out
    assert "0 of 3 clean runs were red" in told
    assert (folder / "reports" / "repeat" / "false-reds.md").read_text().strip() in told


def test_runs_that_are_there_are_not_made_again(folder):
    repeat.run(parsed("2"), execute=Pytest())
    again = Pytest()
    repeat.run(parsed("3"), execute=again)
    assert [index for index, *_ in again.calls] == [2]
    (folder / "baselines").mkdir()
    (folder / "baselines" / "tolerances.toml").write_text("")  # what was green may be red by now
    after = Pytest()
    repeat.run(parsed("3"), execute=after)
    assert [index for index, *_ in after.calls] == [0, 1, 2]


@pytest.mark.parametrize(("words", "code"), [((), 0), (("--fail",), 1)])
def test_a_red_run_fails_where_it_is_asked_to(words, code, capsys):
    assert repeat.run(parsed("3", *words), execute=Pytest(red=2)) == code
    assert "1 of 3 clean runs were red" in capsys.readouterr().out


def test_a_run_that_breaks_off_ends_it():
    with pytest.raises(HarnessError, match=r"reports/repeat/000 is not complete: pytest ended with exit code 4"):
        repeat.run(parsed("2"), execute=lambda _command: 4)


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5"])
def test_a_number_that_is_none(number, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["repeat", number])
    assert "repeat" in capsys.readouterr().err


def test_no_cases(folder, capsys):
    (folder / "cases").rmdir()
    assert main(["repeat", "1"]) == 4
    assert capsys.readouterr().err.startswith("error: there is no cases, where")

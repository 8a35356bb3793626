"""Installed in somebody's environment, the plugin leaves suites alone that don't use it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.helpers.projects import run

THEIRS = """
import os, signal
import pytest


@pytest.fixture
def control():
    return "theirs"


@pytest.fixture(params=["x", "y"])
def finding(request):
    return request.param


def test_fixtures_of_their_own(control, finding):
    assert (control, finding) in {("theirs", "x"), ("theirs", "y")}


def pytest_generate_tests(metafunc):
    if metafunc.function.__name__ == "test_what_a_hook_of_theirs_gives":
        metafunc.parametrize("control", ["left", "right"])


def test_what_a_hook_of_theirs_gives(control):
    assert control in ("left", "right")


@pytest.mark.parametrize(("study", "ablation"), [(1, 2), (3, 4)])
def test_parameters_of_their_own(study, ablation):
    assert ablation == study + 1


def test_nothing_of_ours_is_there():
    import sys
    assert signal.getsignal(signal.SIGTERM) is HANDLER
    assert "torch" not in sys.modules and "diffusers" not in sys.modules
"""
CONFTEST = """
import signal, sys


def pytest_sessionfinish():
    print("torch is", "loaded" if "torch" in sys.modules else "not loaded")
"""


def pytest_there(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def theirs(tmp_path):
    (tmp_path / "test_theirs.py").write_text(THEIRS.replace("HANDLER", "signal.SIG_DFL"))
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


@pytest.mark.parametrize("arguments", [(), ("-n2",)], ids=["alone", "xdist"])
def test_fixtures_and_parameters_of_other_suites_are_theirs(theirs, arguments):
    if arguments:
        pytest.importorskip("xdist")
    done = pytest_there(theirs, "-s", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "7 passed" in done.stdout
    assert "torch is not loaded" in done.stdout
    assert "torch is loaded" not in done.stdout
    assert not (theirs / "reports").exists()


def test_a_value_of_a_hook_is_theirs_where_there_is_no_fixture_of_theirs(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "def pytest_generate_tests(metafunc):\n    metafunc.parametrize('study', ['x', 'y'])\n"
    )
    (tmp_path / "test_theirs.py").write_text("def test_theirs(study):\n    assert study in 'xy'\n")
    done = pytest_there(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_a_file_in_the_place_of_our_reports_is_no_business_of_theirs(theirs):
    pytest.importorskip("xdist")
    (theirs / "reports").write_text("")
    assert pytest_there(theirs, "-n1").returncode == 0


def test_our_own_fixture_without_a_mark_is_still_a_usage_error(tmp_path):
    (tmp_path / "test_mine.py").write_text("def test_mine(control):\n    control.check()\n")
    done = pytest_there(tmp_path)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "needs a mark that names its checkpoint" in done.stderr


def test_a_handler_of_their_own_stays_beside_our_tests(project):
    project.makeconftest(
        "import signal\n"
        "def theirs(*_): pass\n"
        "def pytest_configure(): signal.signal(signal.SIGTERM, theirs)\n"
        "def pytest_runtest_teardown(): assert signal.getsignal(signal.SIGTERM).__name__ == 'theirs'\n"
        "def pytest_unconfigure(): signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
    )
    run(project, "-k", "skip").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (("--dit-checkpoint=nowhere",), 4, "ERROR: checkpoint 'nowhere' is neither*"),
        (("-k", "skip"), 0, "least harmful variant: flux-tiny*"),
    ],
    ids=["mistake", "case"],
)
def test_with_benchmark_json_and_no_timing_a_mistake_is_exit_4_and_a_case_is_ranked(project, arguments, code, shown):
    """pytest-benchmark warns that it saves nothing, and this repository's filters make errors of warnings."""
    filters = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    lines = "\n    ".join(filters["tool"]["pytest"]["ini_options"]["filterwarnings"])
    project.makeini(f"[pytest]\nfilterwarnings =\n    {lines}\n")
    result = run(project, "--benchmark-json=out.json", *arguments)
    assert result.ret == code
    text = result.stdout.str() + "\n" + result.stderr.str()
    assert "Traceback" not in text
    assert any(fnmatch(line, shown) for line in text.splitlines())


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_an_option_without_cases_says_that_it_does_nothing(theirs, workers):
    if workers:
        pytest.importorskip("xdist")
    done = pytest_there(theirs, "--dit-quick", *workers)
    assert done.returncode == 0
    said = (
        "dit: no test here has a dit mark, so --dit-quick does nothing; name the folder of the cases: "
        "pytest cases/ --dit-quick"
    )
    assert said in done.stdout.splitlines()
    assert "dit:" not in pytest_there(theirs, *workers).stdout

"""``upgrade --run`` and ``bisect`` as a user starts them: from a checkout and from an installed wheel.

Interpreter, venv, pip, harness and comparison are real. The index on disk has empty packages under the real names, and
a pytest that writes the journal of a run under the diffusers that is installed beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

import harness
from harness.cli.harness_source import rebuild_wheel
from harness.cli.version_pins import constraint_lines, package
from harness.results.journal import Journal
from tests.helpers.records import FINGERPRINT, quality
from tests.helpers.wheels import pip_settings, write_checkout, write_wheel

pytestmark = pytest.mark.slow
ROOT = Path(harness.__file__).parents[1]
MOVED_AT = "0.35.0"
CRASHES_AT = "0.34.0"  # and loses a case, where the arguments of pytest say so
RELEASES = ("0.33.1", "0.34.0", MOVED_AT, "0.35.1", "0.36.0")
BESIDE = {
    "transformers": ("4.51.3", "4.56.2", "5.23.0"),
    "huggingface_hub": ("0.30.0", "2.4.0"),
    "tokenizers": ("0.21.4", "0.23.3"),
}
TOLERANCES = '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 0.05\nrelative = 0.0\n'
PYTEST = """
import json, os, sys
from importlib import metadata
from pathlib import Path
options = dict(word.split("=", 1) for word in sys.argv if word.startswith("--dit-") and "=" in word)
folder = Path(options["--dit-reports"]) / options["--dit-run-id"]
release = metadata.version("diffusers")
if "edit" in sys.argv:
    with open(os.environ["EDITED"], "a") as file:
        file.write("# edited\\n")
if Path("stop").exists() and release == __CRASHES_AT__:  # as by Ctrl-C, with a part of the journal on the disk
    folder.mkdir(parents=True)
    (folder / "shard-1-of-1.jsonl").write_text("")
    sys.exit(2)
if "crash" in sys.argv and release == __CRASHES_AT__:
    sys.exit(3)
folder.mkdir(parents=True)
journals = Path(__JOURNALS__)
lines = (journals / (release + ".jsonl")).read_text().splitlines(keepends=True)
if "lose" in sys.argv and release == __CRASHES_AT__:
    lines = lines[:-1]
(folder / "shard-1-of-1.jsonl").write_text("".join(lines))
(folder / "seen.json").write_text(json.dumps({
    "arguments": sys.argv[1:],
    "packages": {d.name: d.version for d in metadata.distributions() if str(d.locate_file("")).startswith(sys.prefix)},
}))
sys.exit(1)
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Wheels for all that the harness requires, in the versions of constraints.txt, and for other releases."""
    folder = tmp_path_factory.mktemp("index")
    journals = folder / "journals"
    for release in RELEASES:
        journal = Journal(journals / release)
        fingerprint = replace(FINGERPRINT, versions={"diffusers": release})
        for name in ("skip", "reverse"):
            harm = 1.5 if name == "reverse" and RELEASES.index(release) >= RELEASES.index(MOVED_AT) else 1.0
            journal.append(replace(quality(name, harm, spread=0.01), fingerprint=fingerprint))
        journal.close()
        journal.path.rename(journals / f"{release}.jsonl")
        write_wheel(folder, "diffusers", release)
    pins = {package(line): line.partition("==")[2] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in {package(line) for line in project["dependencies"]} - {"diffusers", "pytest", *BESIDE}:
        write_wheel(folder, name, pins[name])
    for name, versions in BESIDE.items():
        for version in versions:
            write_wheel(folder, name, version)
    pytest_source = PYTEST.replace("__JOURNALS__", repr(str(journals))).replace("__CRASHES_AT__", repr(CRASHES_AT))
    files = {"pytest/__init__.py": "", "pytest/__main__.py": pytest_source}
    write_wheel(folder, "pytest", pins["pytest"], files)
    wheel, _ = rebuild_wheel(metadata.distribution("setuptools"), folder)  # builds the checkout
    wheel.rename(folder / wheel.name)
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout, without the bundled weights, whose build needs nothing but the setuptools here."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    (folder / "docs").mkdir()
    for name in ("pyproject.toml", "docs/package.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    lines = constraint_lines((ROOT / "constraints.txt").read_text().splitlines(), {"diffusers": "==0.36.0"})
    (folder / "constraints.txt").write_text("\n".join(lines) + "\n")
    return folder


def make_project(folder):
    """Somebody's folder of cases."""
    (folder / "cases").mkdir(parents=True)
    (folder / "cases" / "test_mine.py").write_text("")
    (folder / "baselines").mkdir()
    (folder / "baselines" / "tolerances.toml").write_text(TOLERANCES)
    return folder


class Project:
    """Runs ``python -m harness`` in a folder, with the harness of another."""

    def __init__(self, folder, home, index):
        self.folder, self.home, self.index = folder, home, index
        self.variables = {}

    def __call__(self, *arguments, code=0):
        settings = {"PYTHONPATH": str(self.home), **pip_settings(self.index), **self.variables}
        done = subprocess.run(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.folder,
            env={**os.environ, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def seen(self, run):
        return json.loads((self.folder / "reports" / run / "seen.json").read_text())


@pytest.fixture(scope="module")
def project(index, checkout, tmp_path_factory):
    return Project(make_project(tmp_path_factory.mktemp("project") / "mine"), checkout, index)


@pytest.mark.nightly
def test_the_first_release_that_changed_something_is_found(project):
    done = project("bisect", "0.33.1", "0.36.0", "--dtype", "bfloat16", "--", "-k", "flux")
    lines = done.stdout.splitlines()
    assert lines[0] == f"5 releases, at most 4 runs: {', '.join(RELEASES)}"
    assert [line.split(" (")[0] for line in lines[1:4]] == ["0.36.0: changed", "0.35.0: changed", "0.34.0: as before"]
    assert lines[4] == "bfloat16, change: 0.35.0 is the first release that changed something, after 0.34.0"
    assert done.stderr.count("making an environment") == 4
    seen = project.seen("bisect/0.34.0-bfloat16")
    assert seen["arguments"] == [
        *("cases", "-q", "--benchmark-skip", "--continue-on-collection-errors"),
        *("--dit-run-id=0.34.0-bfloat16", "--dit-reports=reports/bisect", "--dit-dtype=bfloat16", "-k", "flux"),
    ]
    expected = {"dit-ablation-harness": harness.__version__, "diffusers": "0.34.0", "transformers": "4.51.3"}
    assert expected.items() <= seen["packages"].items()

    again = project("bisect", "0.33.1", "0.36.0", "--dtype", "bfloat16", "--", "-k", "flux")
    assert again.stdout == done.stdout
    assert again.stderr == ""  # no environment, and no run

    narrower = project("bisect", "0.33.1", "0.34.0", "--dtype", "bfloat16", "--look-for", "bits", "--", "-k", "flux")
    assert narrower.stdout.splitlines()[-1] == "bfloat16, bits: nothing changed from 0.33.1 to 0.34.0"


def test_an_interrupted_run_is_no_answer(project):
    """It used to be one: "changed (it was interrupted)"."""
    command = ("bisect", "0.33.1", "0.35.0", "--dtype", "bfloat16", "--reports", "reports/stopped")
    (project.folder / "stop").touch()
    done = project(*command, code=4)
    assert "0.34.0-bfloat16 is not complete: it was interrupted or killed (exit code 2)" in done.stderr
    (project.folder / "stop").unlink()
    assert "0.35.0 is the first release that changed something, after 0.34.0" in project(*command).stdout
    other = project(*command, "--", "-k", "lose")  # another -k is another run, and another answer
    assert "0.34.0 is the first release that changed something, after 0.33.1" in other.stdout


@pytest.mark.nightly
def test_a_folder_is_tested_as_it_is_now_and_two_of_one_name_are_told_apart(project, tmp_path):
    mine, theirs = (write_checkout(tmp_path / whose / "diffusers", CRASHES_AT) for whose in ("mine", "theirs"))
    command = ("upgrade", "--run", "--dtype", "float32", "--reports", "reports/folders")
    assert "m, float32: yes" in project(*command, str(theirs), str(mine)).stdout
    write_checkout(mine, MOVED_AT)
    done = project(*command, str(theirs), str(mine))
    assert "m, float32: no" in done.stdout
    assert "mine-diffusers" in done.stdout
    for whose, version in {"theirs": CRASHES_AT, "mine": MOVED_AT}.items():
        assert project.seen(f"folders/{whose}-diffusers-float32")["packages"]["diffusers"] == version
    assert len(list((project.folder / ".environments").glob("diffusers-*"))) == 2

    project.variables["EDITED"] = str(mine / "src" / "diffusers" / "__init__.py")
    done = project(*command, str(theirs), str(mine), "--", "-k", "edit", code=4)
    assert f"error: {mine} was changed while the runs were made (from files " in done.stderr


def test_an_upgrade_makes_its_runs_and_says_yes_or_no(project):
    done = project("upgrade", "--run", "0.33.1", "newest", "--dtype", "float32", "--fail-on-regression", code=1)
    assert "m, float32: no" in done.stdout
    assert "newest" in done.stderr
    reports = project.folder / "reports" / "upgrade"
    assert sorted(p.name for p in reports.iterdir()) == [
        *("0.33.1-float32", "every.md", "newest-float32", "newest-float32-null", "upgrade.md"),
    ]
    assert (reports / "upgrade.md").read_text().strip() in done.stdout
    assert "| s-reverse | harm |" in (reports / "every.md").read_text()
    assert project.seen("upgrade/newest-float32")["packages"]["transformers"] == "5.23.0"
    runs = [f"{label}=reports/upgrade/{label}-float32" for label in ("0.33.1", "newest")]
    compared = project("upgrade", *runs, "--null", "reports/upgrade/newest-float32-null")
    assert compared.stdout.strip() == (reports / "upgrade.md").read_text().strip()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("lose", "1 of 2 cases are missing or failed under 0.34.0"),
        (
            "crash",
            "2 of 2 cases are missing or failed under 0.34.0; the run under 0.34.0 is not complete: pytest ended with "
            "exit code 3 (something broke)",
        ),
    ],
)
def test_a_version_that_loses_a_case_or_crashes_is_no(project, what, reason):
    versions = ("0.33.1", CRASHES_AT)
    command = ("upgrade", "--run", *versions, "--dtype", "float32", "--reports", f"reports/{what}")
    done = project(*command, "--fail-on-regression", "--", "-k", what, code=1)
    assert f"- **m, float32: no** ({reason})" in done.stdout
    assert "| s-reverse | measured | missing |" in done.stdout
    backwards = ("upgrade", "--run", *reversed(versions), "--dtype", "float32", "--reports", f"reports/{what}-old")
    if what == "crash":  # without the old version's run there is nothing to compare with
        assert "is not complete: pytest ended with exit code 3" in project(*backwards, "--", "-k", what, code=4).stderr
    else:
        assert "- **m, float32: yes**" in project(*backwards, "--", "-k", what).stdout
    bisected = project("bisect", *versions, "--reports", f"reports/bisect-{what}", "--", "-k", what)
    assert "0.34.0 is the first release that changed something, after 0.33.1" in bisected.stdout


@pytest.mark.nightly
def test_versions_of_another_package(project):
    command = ("upgrade", "--run", "--package", "transformers", "4.51.3", "newest", "--reports", "reports/package")
    done = project(*command, "--dtype", "float32", "--fail-on-regression")
    assert "m, float32: yes" in done.stdout
    for name, version in {"transformers-4.51.3": "4.51.3", "transformers-newest": "5.23.0"}.items():
        packages = project.seen(f"package/{name}-float32")["packages"]
        assert (packages["transformers"], packages["diffusers"]) == (version, "0.36.0")  # as constraints.txt has it
    command = ("bisect", "--package", "transformers", "4.51.3", "4.56.2", "--reports", "reports/package")
    assert "nothing changed from 4.51.3 to 4.56.2" in project(*command).stdout


def test_a_release_that_is_not_there_is_one_line(project):
    message = f"error: the registry has no diffusers 0.39.0; the newest that it has are {', '.join(RELEASES)}\n"
    for command in (["bisect", "0.33.1", "0.39.0"], ["upgrade", "--run", "0.33.1", "0.39.0"]):
        assert project(*command, code=4).stderr == message


def test_the_same_from_an_installed_wheel(project, checkout, index, tmp_path):
    """Without a checkout: the environments get the installed files, and the versions that are installed here."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(checkout)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    mine = Project(make_project(tmp_path / "mine"), site, index)
    done = mine("upgrade", "--run", "0.33.1", "0.34.0", "--dtype", "float32", "--with", "numpy")
    assert "m, float32: yes" in done.stdout
    packages = mine.seen("upgrade/0.33.1-float32")["packages"]
    assert packages["dit-ablation-harness"] == harness.__version__
    assert packages["diffusers"] == "0.33.1"
    (python,) = mine.folder.glob(".environments/0.33.1-*/bin/python")
    code = "import harness; print(harness.__file__)"
    told = subprocess.run([python, "-c", code], cwd=tmp_path, env={}, capture_output=True, text=True, check=True).stdout
    assert str(python.parents[1].resolve()) in told
    script = python.with_name("dit-harness")
    assert "list" in subprocess.run([script, "--help"], env={}, capture_output=True, text=True, check=True).stdout

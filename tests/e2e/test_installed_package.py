"""A package that adds strategies, checkpoints and metrics, really installed by pip."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness.models.checkpoints.resolve import BUNDLED

DOCS = Path(harness.__file__).parent.parent / "docs" / "extending.md"
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

{}
[tool.setuptools]
py-modules = ["dit_extras", "dit_extras_metrics"]
"""
CHECKPOINTS = """
import os

def checkpoints():
    return {"extra-flux": os.environ["EXTRA_FLUX"], "extra.big-1": "org/big"}
"""
CASES = """
import pytest
from harness import Ask

@pytest.mark.dit("flux-tiny", Ask(("single",), ("middle",), ("skip", "ends", "ends.w2")))
def test_ablation(ablation):
    ablation.check(ablation.measure())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process that has the package: pip really installs it, into a folder of its own."""
    source, target = tmp_path_factory.mktemp("dit-extras"), tmp_path_factory.mktemp("site")
    # The package is the one in the docs, but for where its weights are.
    (project,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    strategy, *_, metric = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (source / "pyproject.toml").write_text(PROJECT.format(project))
    (source / "dit_extras.py").write_text(strategy + CHECKPOINTS)
    (source / "dit_extras_metrics.py").write_text(metric)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = tmp_path_factory.mktemp("weights")
    folder = weights / "somewhere"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    shutil.copy(BUNDLED / "prompts.txt", weights)
    path = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "EXTRA_FLUX": str(folder)}


def call(installed, *arguments, code=0):
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=installed)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_an_installed_package_is_listed(installed):
    found = json.loads(call(installed, "list", "--json"))
    assert found["errors"] == []
    ends = next(entry for entry in found["strategies"] if entry["name"] == "ends")
    assert ends == {
        "name": "ends",
        "summary": "The range's first and last blocks alone, w of each.",
        "parameters": {"w": "blocks of each end"},
        "least": 3,
        "package": "dit-extras 1.2",
        "error": "",
    }
    by_name = {entry["name"]: entry for entry in found["checkpoints"]}
    extra = by_name["extra-flux"]
    assert (extra["stacks"], extra["package"], extra["weights"]) == (
        {"double": 5, "single": 10},
        "dit-extras 1.2",
        "here",
    )
    assert by_name["extra.big-1"]["weights"] == "not here"
    assert "brightness" in [entry["name"] for entry in found["metrics"]]
    text = call(installed, "list")
    assert re.search(r"\nends +\.wN blocks of each end +3 +dit-extras 1\.2 +The range's first", text)
    assert "\nextra-flux " in text
    assert "\nbrightness " in text


def test_its_names_are_used_like_the_harness_own(installed):
    grid = ["--stack", "single", "--strategy", "ends.w2", "--range", "3-9"]
    found = json.loads(call(installed, "list", "extra-flux", *grid, "--json"))
    assert [(c["id"], c["plan"]) for c in found["cases"]] == [("extra-flux-single-L03-09-ends.w2", "0-4 8 9")]
    assert "checkpoint 'extra.big-1' of package dit-extras 1.2: " in call(
        {**installed, "HF_HUB_OFFLINE": "1"}, "list", "extra.big-1", code=4
    )
    assert "strategy 'ends' has no parameter 't2' in 'ends.t2'; it takes wN (blocks of each end)" in call(
        installed, "list", "flux-tiny", "--strategy", "ends.t2", code=4
    )


def test_its_strategy_makes_cases_and_collecting_stays_light(installed, tmp_path):
    (tmp_path / "test_mine.py").write_text(CASES)
    code = (
        "import sys, pytest\n"
        "arguments = ['--co', '-q', '-p', 'no:cacheprovider', 'test_mine.py']\n"
        "assert pytest.main(arguments) == pytest.main([*arguments, '--dit-checkpoint=extra-flux']) == 0\n"
        "print('dit_extras' in sys.modules, sorted({'torch', 'dit_extras_metrics'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=installed, cwd=tmp_path
    )
    ids = [line.split("[")[1].rstrip("]") for line in done.stdout.splitlines() if "::test_ablation[" in line]
    expected = ["single-L02-07-skip", "single-L02-07-ends", "single-L02-07-ends.w2"]
    assert sorted(ids) == sorted(f"{name}-{case}" for name in ("flux-tiny", "extra-flux") for case in expected)
    assert done.stdout.splitlines()[-1] == "True []"


@pytest.mark.slow
def test_its_strategy_and_metric_are_measured_on_its_checkpoint(installed, tmp_path):
    shutil.copytree(BUNDLED / "judge", tmp_path / "judge")
    shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "copy")
    code = (
        "from harness import Lab, rank, sweep\n"
        "lab = Lab('extra-flux', prompts=['a large solid red circle on a grey background'], metrics=['brightness'])\n"
        "(record,) = sweep(lab, strategies='ends', stacks='single')\n"
        "print([name for name in record.measurement.summary if 'brightness' in name])\n"
        "print(rank([record]))\n"
    )
    environment = {**installed, "EXTRA_FLUX": str(tmp_path / "copy")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "['brightness.drift']"
    assert "least harmful variant: extra-flux (1 prompts)" in done.stdout
    assert "single-L02-07-ends" in done.stdout


def test_a_broken_package_is_one_line_in_pytest(pytester, package):
    package("bad-one", "[harness.strategies]\nmine = bad_one:MINE\n", "import no_such_module")
    pytester.makepyfile(CASES.replace('"ends", "ends.w2"', '"mine"'))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--co")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: strategy 'mine' of package bad-one 0.3 doesn't load: ModuleNotFoundError*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()

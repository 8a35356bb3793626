"""Started by a Python that has pytest and nothing else, a checkout says in one line what was forgotten."""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Runs a module as if some packages were not installed.
WITHOUT = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {blocked!r} else real(name, package)
sys.meta_path.insert(0, Blocked())
sys.argv = [{module!r}, *{arguments!r}]
sys.path.insert(0, {root!r})
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
"""


def run_without(blocked, module, *arguments):
    code = WITHOUT.format(blocked=set(blocked), module=module, arguments=list(arguments), root=str(ROOT))
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", ["diffusers", "torch"])
def test_pytest_says_so_in_one_line(package):
    done = run_without([package], "pytest", "-p", "no:cacheprovider", "cases/")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in done.stderr.splitlines() if line]
    assert lines == [
        f"ERROR: {package!r} is not installed for {sys.executable}: activate the virtual environment that the harness "
        "was installed in (. .venv/bin/activate), or install it (pip install -c constraints.txt -e .)"
    ]
    assert "INTERNALERROR" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [("fingerprint", "flux-tiny"), ("export", "--help")], ids=" ".join)
def test_a_command_says_so_in_one_line(arguments):
    done = run_without(["torch"], "harness", *arguments)
    assert done.returncode == 4
    assert re.fullmatch(r"error: 'torch' is not installed for .*\n", done.stderr)
    assert done.stdout == ""


def test_every_dependency_is_looked_for():
    names = runpy.run_path(str(ROOT / "conftest.py"))["NEEDED"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[><=\[;]", line)[0] for line in project["dependencies"]} - {"pytest"}
    modules = importlib.metadata.packages_distributions()
    # Upper case and underscores make no difference in the name of a distribution.
    plain = {re.sub("[-_.]+", "-", distribution).lower() for name in names for distribution in modules[name]}
    assert plain >= wanted
    assert len(names) == len(wanted)

"""The texts that ``python -m harness init`` writes."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

import harness
from harness.cli.project_files import case_file, case_file_name, pytest_settings, requirement, workflow

WORKFLOWS = Path(harness.__file__).parents[1] / ".github" / "workflows"


@pytest.mark.parametrize(
    ("name", "file"),
    [("flux-tiny", "test_flux_tiny.py"), ("flux.1-dev", "test_flux_1_dev.py"), ("a--b.", "test_a_b.py")],
)
def test_a_case_file_is_named_after_its_checkpoint(name, file):
    assert case_file_name(name) == file


@pytest.mark.parametrize("stacks", [("joint",), ("double", "single")])
def test_a_case_file_asks_for_every_stack(stacks):
    tree = ast.parse(case_file("a", 'org/"odd"', stacks))
    values = {ast.unparse(n.targets[0]): n.value for n in tree.body if isinstance(n, ast.Assign)}
    assert ast.literal_eval(values["STACKS"]) == stacks
    assert ast.literal_eval(values["pytestmark"].args[0]) == 'org/"odd"'
    assert [n.name for n in tree.body if isinstance(n, ast.FunctionDef)] == [
        "test_ablation",
        "test_latency",
        "test_control",
    ]


@pytest.mark.parametrize(
    ("file", "text", "has"),
    [
        ("pytest.ini", "", True),
        (".pytest.ini", "", True),
        ("tox.ini", "[pytest]\n", True),
        ("tox.ini", "[tox]\n", False),
        ("setup.cfg", "[tool:pytest]\n", True),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", True),
        ("pyproject.toml", "[project]\nname = 'a'\n", False),
        ("pyproject.toml", "not [TOML", False),
        ("else.toml", "[tool.pytest.ini_options]\n", False),
    ],
)
def test_settings_of_pytest_are_made_where_there_are_none(file, text, has, tmp_path):
    (tmp_path / file).write_text(text)
    assert pytest_settings(tmp_path) == ("" if has else "[pytest]\ntestpaths = cases\n")


def test_a_plain_pytest_goes_on_running_the_tests_of_a_project_that_has_some(tmp_path):
    (tmp_path / "tests").mkdir()
    assert pytest_settings(tmp_path) == "[pytest]\ntestpaths = tests\n"


@pytest.mark.parametrize("gpu", [False, True])
def test_the_workflow_may_read_and_uses_the_actions_of_this_repository(gpu):
    text = workflow(gpu=gpu)
    read = yaml.safe_load(text)
    assert read["permissions"] == {"contents": "read"}
    (job,) = read["jobs"].values()
    assert ("self-hosted" in job["runs-on"]) is gpu
    # No code of others on a machine of one's own. (YAML reads "on" as true.)
    assert ("pull_request" in read[True]) is not gpu
    assert ("PIP_EXTRA_INDEX_URL" in job.get("env", {})) is not gpu
    assert all("${{" not in step.get("run", "") for step in job["steps"])
    ours = "".join(path.read_text() for path in WORKFLOWS.glob("*.yml"))
    used = re.findall(r"uses: (\S+ # \S+)", text)
    assert len(used) == 3
    assert all(action in ours for action in used)


def test_the_workflow_installs_the_version_or_the_commit_that_is_installed_here(monkeypatch):
    class Distribution:
        def __init__(self, origin):
            self.origin = origin

        def read_text(self, name):
            assert name == "direct_url.json"
            return self.origin and json.dumps(self.origin)

    def required(origin):
        monkeypatch.setattr("harness.cli.project_files.metadata.distribution", lambda name: Distribution(origin))
        return requirement()

    version = f"dit-ablation-harness=={harness.__version__}"
    assert required(None) == required({"url": "file:///a.whl", "archive_info": {}}) == version
    commit = {"url": "https://a.b/c.git", "vcs_info": {"vcs": "git", "commit_id": "4f1c"}}
    assert required(commit) == "dit-ablation-harness @ git+https://a.b/c.git@4f1c"
    assert "run: python -m pip install 'dit-ablation-harness @ git+https://a.b/c.git@4f1c'" in workflow(gpu=False)

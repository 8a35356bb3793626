"""What the workflows may do: read, with actions pinned by commit, and nothing of an event's text in a shell line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[1] / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))


@pytest.fixture(params=FILES, ids=[f.stem for f in FILES])
def workflow(request):
    return yaml.safe_load(request.param.read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_three():
    assert [f.stem for f in FILES] == ["nightly", "tests", "upgrade"]


def test_permissions_are_to_read(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


def test_actions_are_pinned_by_commit(workflow):
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    for action in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action)


def test_no_expression_stands_in_a_shell_line(workflow):
    """An expression is pasted in before the shell reads the line; values come by the environment."""
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")


def test_checkouts_keep_no_token_and_jobs_end(workflow):
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())


@pytest.mark.parametrize("name", ["versions", "upgrade"])
def test_the_sessions_that_are_called_exist(name):
    sessions = re.findall(r"^def (\w+)\(session", (FOLDER.parents[1] / "noxfile.py").read_text(), flags=re.MULTILINE)
    assert name in sessions
    assert any(f'nox -s "{name}' in f.read_text() or f"nox -s {name}" in f.read_text() for f in FILES)

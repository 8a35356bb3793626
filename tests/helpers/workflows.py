"""Steps of a workflow, run as GitHub runs them: bash, the environment of job and step, and a file for outputs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
BASH = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")  # a step's shell, which GitHub names bash


def load(name: str) -> dict[str, Any]:
    """A workflow by its file's name."""
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())


def step(workflow: str, job: str, id: str) -> dict[str, Any]:  # noqa: A002 - as GitHub calls it
    """One step by its id."""
    (found,) = [each for each in load(workflow)["jobs"][job]["steps"] if each.get("id") == id]
    return found


class Runner:
    """Runs steps in a folder. ``ran`` are the steps that it ran, as (job, id); ``said`` is the last one's output."""

    def __init__(self, workflow: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.workflow, self.folder = workflow, folder
        self.environment = dict(environment)
        self.ran: set[tuple[str, str]] = set()
        self.said = ""

    def __call__(self, job: str, id: str, code: int = 0, **values: str) -> dict[str, str]:  # noqa: A002 - as above
        """Run a step, whose environment is ``values``; its outputs. Every variable that it declares must be given."""
        about = load(self.workflow)["jobs"][job]
        one = step(self.workflow, job, id)
        declared = {*about.get("env", {}), *one.get("env", {})}
        assert declared - {"PIP_EXTRA_INDEX_URL"} <= values.keys() | self.environment.keys(), declared - values.keys()
        output = self.folder / ".github-output"
        output.write_text("")
        done = subprocess.run(
            [*BASH, one["run"]],
            cwd=self.folder,
            env={**self.environment, "GITHUB_OUTPUT": str(output), **values},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.said = done.stdout
        assert done.returncode == code, f"{one['run']}\n{done.stdout[-4000:]}"
        assert "Traceback" not in done.stdout, done.stdout[-4000:]
        self.ran.add((job, id))
        lines = output.read_text().splitlines()
        output.unlink()
        return dict(line.split("=", 1) for line in lines)


def steps_with_ids(workflow: str, leave_out: Callable[[str], bool] = lambda _: False) -> set[tuple[str, str]]:
    """(job, id) of every step that runs a line of shell. Raises AssertionError for one without an id."""
    found: set[tuple[str, str]] = set()
    for job, about in load(workflow)["jobs"].items():
        for each in about["steps"]:
            if "run" in each and not leave_out(each["run"]):
                assert "id" in each, f"{job}: a step without an id can't be named by a test: {each['run']}"
                found.add((job, each["id"]))
    return found

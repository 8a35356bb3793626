"""docs/machines.md: its YAML parses, its scripts are shell, and the harness knows the commands inside them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.cli.main import parse

PAGE = (Path(__file__).parents[2] / "docs" / "machines.md").read_text()


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def scripts():
    """The shell lines of every recipe, with what other tools fill in."""
    github, sky = map(yaml.safe_load, blocks("yaml"))
    steps = [step["run"] for job in github["jobs"].values() for step in job["steps"] if "run" in step]
    return [re.sub(r"\$\{\{ *matrix.shard *\}\}", "1", "\n".join(steps)), sky["setup"], sky["run"], *blocks("bash")]


@pytest.mark.parametrize("script", scripts())
def test_recipes_are_shell(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_commands_of_recipes_parse():
    lines = [line for script in scripts() for line in script.splitlines() if line.startswith("python -m harness")]
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line.partition(">>")[0].replace("$((SKYPILOT_NODE_RANK + 1))/$SKYPILOT_NUM_NODES", "1/4"))
        assert parse([word.replace("*", "1") for word in words[3:]]).command in {"merge", "worker"}

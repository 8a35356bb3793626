"""docs/start.md and docs/tutorial.md, command by command in a folder of one's own, and what the tutorial shows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.helpers import preloaded

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
ROOT = Path(__file__).parents[2]
START, TUTORIAL = (ROOT / "docs" / name for name in ("start.md", "tutorial.md"))
SHORTER = {"--steps 300": "--steps 2"}  # of the training, whose result the page doesn't show


@pytest.fixture(scope="module")
def python():
    with TemporaryDirectory() as folder, preloaded.server(Path(folder)) as path:
        yield path


@pytest.fixture
def shell(tmp_path, python):
    """A function that runs a line of shell in an empty folder; what it printed."""
    tools, folder = tmp_path / "bin", tmp_path / "mine"
    tools.mkdir()
    folder.mkdir()
    preloaded.write_command(tools / "python", python)
    preloaded.write_command(tools / "pytest", python, "-m", "pytest")
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    variables |= {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    variables |= {"PYTEST_ADDOPTS": "-p harness.plugin -p no:cacheprovider -p no:randomly"}

    def run(line):
        for long, short in SHORTER.items():
            line = line.replace(long, short)
        done = subprocess.run(
            ["bash", "-ec", line], cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    run.folder = folder
    return run


def commands(page):
    """The lines of a page's shell blocks, each with the text block below it that shows what it prints."""
    blocks = re.findall(r"^```(sh|text)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    for i, (language, text) in enumerate(blocks):
        if language == "sh":
            shown = blocks[i + 1][1] if i + 1 < len(blocks) and blocks[i + 1][0] == "text" else ""
            lines = text.strip().splitlines()
            yield from ((line, shown if line == lines[-1] else "") for line in lines)


def words(text):
    """Of each line what stands there on any machine: its words that hold no digit and are no path."""
    return [
        found
        for line in text.splitlines()
        if (found := re.findall(r"(?<![\w./\"-])[A-Za-z_][A-Za-z_]+(?![\w./\"-])", line))
        and not line.startswith("use:")
    ]


def test_five_minutes(shell):
    for line, _ in commands(START):
        if not line.startswith("pip install"):
            shell(line)
    assert (shell.folder / "cases" / "test_flux_tiny.py").exists()
    assert (shell.folder / "baselines" / "flux-tiny" / "cpu-float32.json").exists()
    runs = sorted((shell.folder / "reports").iterdir())
    assert len(runs) == 3
    assert "None of" in (runs[-1] / "ranking.md").read_text()


def test_the_tutorial_prints_what_it_shows(shell):
    shell("python -m harness init")
    for line, shown in commands(TUTORIAL):
        said = shell(line)
        printed = words(said)
        for expected in words(shown):
            # The agreement with stored harms is shown where there are any, which a new folder has not.
            if expected[:2] != ["rank", "correlation"]:
                assert expected in printed, f"{line}: {expected}\n{said}"
    assert (shell.folder / "OUT" / "README.md").read_text().count("] |") >= 1
    assert (shell.folder / "HEALED" / "model_index.json").exists()

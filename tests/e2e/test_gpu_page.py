"""docs/gpu.md and the nightly workflow, executed: a small checkpoint with random weights stands for the real one."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import yaml

from harness.gates import baselines
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import read
from tests.helpers import preloaded

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "gpu.md"
CASES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip", "reverse")))


def test_ablation(ablation):
    ablation.check(ablation.measure())


def test_control(control):
    control.check()
"""


@pytest.fixture(scope="module")
def python():
    """The socket of a server of processes that begin with torch imported: the page starts seventeen of them."""
    with TemporaryDirectory() as folder, preloaded.server(Path(folder)) as path:
        yield path


@pytest.fixture
def desk(tmp_path, pipelines, python):
    """A repository with cases of FLUX, and a function that runs shell lines there; ``real`` is the checkpoint."""
    folder = tmp_path / "desk"
    (folder / "cases").mkdir(parents=True)
    (folder / "cases" / "test_flux.py").write_text(CASES)
    (folder / "baselines").mkdir()
    shutil.copy(ROOT / "baselines" / "tolerances.toml", folder / "baselines")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider -p no:randomly\n")
    (folder / ".gitignore").write_text("/reports/\n/real/\n/.venv\n")
    pipelines["flux"].save_pretrained(folder / "real")
    settings = json.loads((BUNDLED / "flux-tiny" / "harness.json").read_text())
    settings |= {"judge": str(BUNDLED / "judge"), "prompts": str(folder / "prompts.txt"), "world": False, "batch": 1}
    (folder / "real" / "harness.json").write_text(json.dumps(settings))
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:4]
    (folder / "prompts.txt").write_text("\n".join(prompts) + "\n")
    (folder / ".venv" / "bin").mkdir(parents=True)
    preloaded.write_command(folder / ".venv" / "bin" / "python", python)
    preloaded.write_command(folder / ".venv" / "bin" / "pytest", python, "-m", "pytest")
    variables = {
        **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        "PATH": os.pathsep.join((str(folder / ".venv" / "bin"), os.environ["PATH"])),
        "PYTHONPATH": str(ROOT),
        "PYTEST_ADDOPTS": "-p harness.plugin",
        **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "a"),
        **dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "a@example.invalid"),
    }

    def run(lines, code=0, **more):
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", lines],
            cwd=folder,
            env=variables | more,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{lines}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        assert "Traceback" not in done.stderr
        return done.stdout

    run("git init -q && git add . && git commit -q -m 'Cases'")
    run.folder = folder
    return run


def break_it(folder):
    """What a red night is about: somebody changed the schedule of the checkpoint."""
    path = folder / "real" / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    config["shift"] = 2 * config.get("shift", 1.0) + 1
    path.write_text(json.dumps(config))


@pytest.mark.nightly
def test_the_commands_of_the_page_do_what_it_says(desk):
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    first, *others = blocks
    checkpoint, dtype = re.fullmatch(r"export CHECKPOINT=(\S+) DTYPE=(\S+)\n", first).groups()
    assert (checkpoint, dtype) == ("FLUX.1-schnell", "bfloat16")
    said = []
    for block in others:
        if "# red: broken\n" in block:
            break_it(desk.folder)
        code = re.search(r"^# exit code (\d)", block, flags=re.MULTILINE)
        said.append(desk(block, int(code[1]) if code else 0, CHECKPOINT="real", DTYPE=dtype))
    assert len(said) == 10
    assert "does not exist" not in "".join(said)
    stored = baselines.load(desk.folder / "baselines" / "real" / "cpu-bfloat16.json", "real")
    assert set(stored.cases) == {"real-double-L01-03-skip", "real-double-L01-03-reverse"}
    subjects = desk("git log --format=%s").splitlines()
    assert subjects == [
        "Baselines: accept another schedule",
        "Noise floors of a real checkpoint",
        "Baselines of a real checkpoint",
        "Cases",
    ]
    assert desk("git status --porcelain") == ""


def night(desk, run, code, baselines="", **more):
    """The step of the nightly workflow that runs the cases."""
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "nightly.yml").read_text())["jobs"]
    (step,) = [step for step in jobs["cases"]["steps"] if step.get("id") == "cases"]
    given = {"RUN": run, "CHECKPOINT": "real", "DTYPE": "bfloat16", "ARGS": "--benchmark-skip -k skip", **more}
    return desk(step["run"], code, BASELINES=baselines, **given)


@pytest.mark.nightly
def test_nights_of_a_checkpoint_from_nothing_to_accepted(desk):
    night(desk, "night-0", 1)  # it was never measured, which is no green night
    assert not (desk.folder / "baselines" / "real").exists()
    night(desk, "night-1", 0, "missing")
    night(desk, "night-2", 0)
    break_it(desk.folder)
    night(desk, "night-3", 1)
    night(desk, "night-4", 1, "missing")
    night(desk, "night-5", 0, "changed")
    night(desk, "night-6", 0)
    runs = [read(desk.folder / "reports" / f"night-{i}") for i in (2, 3, 6)]
    assert [{r.verdict.status.red for r in records} for records in runs] == [{False}, {True}, {False}]

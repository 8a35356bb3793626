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

from harness.gates import baselines
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import read
from tests.helpers import fake_gh, preloaded, workflows

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
    (folder / ".gitignore").write_text("/reports/\n/real/\n/.venv\n/prompts.txt\n")
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

    run("git init -q -b main && git add . && git commit -q -m 'Cases'")
    run.folder, run.variables = folder, variables
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
    assert (checkpoint, dtype) == ("FLUX.1-dev", "bfloat16")
    said = []
    for block in others:
        if "# red: broken\n" in block:
            break_it(desk.folder)
        code = re.search(r"^# exit code (\d)", block, flags=re.MULTILINE)
        said.append(desk(block, int(code[1]) if code else 0, CHECKPOINT="real", DTYPE=dtype))
    assert len(said) == 11
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
    line = workflows.step("nightly", "cases", "cases")["run"]
    given = {"RUN": run, "CHECKPOINT": "real", "DTYPE": "bfloat16", "ARGS": "--benchmark-skip -k skip", "SHARD": "1/1"}
    return desk(line, code, BASELINES=baselines, **given, **more)


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
    codes = [(desk.folder / "reports" / f"night-{i}" / "exit-code-1").read_text() for i in (2, 3)]
    assert codes == ["0\n", "1\n"]


class Nights:
    """The whole workflow, job by job; each job begins as a fresh checkout, and folders stand for artifacts."""

    def __init__(self, desk, folder):
        self.folder, self.desk = desk.folder, desk
        self.artifacts, self.github = folder / "artifacts", folder / "github.json"
        self.upstream = folder / "upstream.git"
        fake_gh.write_command(self.folder / ".venv" / "bin" / "gh")
        desk(f"git clone -q --bare . {self.upstream} && git remote add origin {self.upstream}")
        own = {"GH_STATE": str(self.github), "GH_TOKEN": "t", "GH_REPO": "me/it", "PUSH_TO": str(self.upstream)}
        own |= {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "me/it"}
        self.runner = workflows.Runner("nightly", self.folder, desk.variables | own)
        self.number = 0

    @property
    def state(self):
        return fake_gh.state(self.github)

    def fresh(self):
        self.desk("git checkout -q main && git reset -q --hard && git clean -fdq && rm -rf parts stored sections")

    def take(self, pattern, into, *, merged=False):
        """What the action that downloads artifacts does."""
        for path in sorted(self.artifacts.glob(pattern)):
            shutil.copytree(path, self.folder / into if merged else self.folder / into / path.name, dirs_exist_ok=True)

    def cases(self, entry, baselines, code):
        job = {"CHECKPOINT": entry["checkpoint"], "DTYPE": entry["dtype"], "ARGS": entry["args"]}
        job |= {"SHARD": entry["shard"], "RUN": f"nightly-{self.number}-{entry['entry']}"}
        self.fresh()
        first = self.runner("cases", "first", **job).get("baselines", "")
        stores = baselines or first
        self.runner("cases", "cases", code=code, BASELINES=stores, **job)
        if first and entry["shards"] == 1:
            self.runner("cases", "floors", FLOORS="2", **job)
        name = f"{entry['entry']}-{entry['number']}"
        shutil.move(self.folder / "reports" / job["RUN"], self.artifacts / f"part-{name}")
        if stores:
            shutil.copytree(self.folder / "baselines", self.artifacts / f"stored-{name}")
        return stores

    def merge(self, entry, stored):
        run = f"nightly-{self.number}-{entry['entry']}"
        job = {"CHECKPOINT": entry["checkpoint"], "DTYPE": entry["dtype"], "ENTRY": str(entry["entry"]), "RUN": run}
        self.fresh()
        self.take(f"part-{entry['entry']}-*", "parts")
        self.take(f"stored-{entry['entry']}-*", "stored")
        self.runner("merge", "merge", **job)
        summary = self.artifacts / "summary.md"
        self.runner("merge", "tell", GITHUB_STEP_SUMMARY=str(summary), **job)
        self.annotations = [line for line in self.runner.said.splitlines() if line.startswith("::error")]
        self.summary = summary.read_text()
        issue = self.folder / f"issue-{entry['entry']}.md"
        if issue.exists():
            (self.artifacts / issue.stem).mkdir()
            shutil.copy(issue, self.artifacts / issue.stem)
        shutil.copytree(self.folder / "baselines", self.artifacts / f"baselines-{entry['entry']}")
        return read(self.folder / "reports" / run)

    def __call__(self, listed, code=0, baselines="", **inputs):
        self.number += 1
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self.artifacts.mkdir()
        self.fresh()
        asked = dict.fromkeys(("CHECKPOINT", "DTYPE", "ARGS", "SHARDS"), "") | inputs
        lists = self.runner("list", "list", LISTED=json.dumps(listed), **asked)
        for entry in json.loads(lists["shards"]):
            stores = self.cases(entry, baselines, code)
        (entry,) = json.loads(lists["checkpoints"])
        records = self.merge(entry, stores)
        self.fresh()
        self.take("baselines-*", "stored")
        branch = {"BRANCH": f"baselines-{self.number}", "BASE": "main", "BASELINES": baselines or "first"}
        branch |= {"GITHUB_RUN_ID": str(self.number)}
        changed = self.runner("propose", "commit", **branch)["changed"]
        if changed == "yes":
            self.runner("propose", "push", **branch)
        self.fresh()
        if not inputs and not baselines:
            self.take("issue-*", "sections", merged=True)
            results = {"CASES": "failure" if code else "success", "MERGE": "success"}
            self.runner("issue", "issue", GITHUB_RUN_ID=str(self.number), **results)
        self.fresh()
        return records

    def accept(self):
        """Somebody looks at the pull request, and merges it."""
        head = self.state["pulls"][-1]["head"]
        self.desk(f"git checkout -q main && git fetch -q origin {head} && git merge -q FETCH_HEAD")


@pytest.mark.nightly
def test_every_step_of_the_nightly_from_a_first_night_to_a_closed_issue(desk, tmp_path):
    (tmp_path / "github").mkdir()
    nights = Nights(desk, tmp_path / "github")
    listed = [{"checkpoint": "real", "dtype": "bfloat16", "args": "--benchmark-skip", "shards": 2}]

    whole = [{**listed[0], "shards": 1}]
    records = nights(whole)  # nothing is stored: values and floors are, and proposed
    assert {record.kind for record in records} == {"quality", "control"}
    (pull,) = nights.state["pulls"]
    assert (pull["head"], pull["base"], pull["title"]) == (
        "baselines-1",
        "main",
        "Baselines: first values of a nightly run",
    )
    assert nights.state["issues"] == []
    assert not nights.annotations
    nights.accept()
    stored = baselines.load(desk.folder / "baselines" / "real" / "cpu-bfloat16.json", "real")
    assert set(stored.cases) == {"real-double-L01-03-skip", "real-double-L01-03-reverse"}
    assert all(entries["harm"].tolerance is not None for entries in stored.cases.values())
    assert len(stored.calibration.perturbations) == 2
    assert stored.facts.control_latents

    records = nights(listed)  # judged, and green
    assert {record.verdict.status.red for record in records} == {False}
    assert "**None of 3 results is red**" in nights.summary
    assert len(nights.state["pulls"]) == 1

    break_it(desk.folder)
    nights(listed, code=1)
    (issue,) = nights.state["issues"]
    assert (issue["state"], issue["title"]) == ("open", "The nightly run is red")
    assert "### real bfloat16: 3 of 3 results are red" in issue["body"]
    assert "actions/runs/3" in issue["body"]
    assert 1 <= len(nights.annotations) <= 10
    assert len(nights.summary.encode()) < 2**20
    assert nights.summary.startswith("# real bfloat16: 3 of 3 results are red; shard 1 ended with exit code 1")

    nights(listed, code=1)
    (issue,) = nights.state["issues"]
    assert issue["comments"] == ["Red again: https://github.com/me/it/actions/runs/4"]

    nights(listed, baselines="changed")  # somebody accepts the new values
    assert nights.state["pulls"][1]["title"] == "Baselines: changed values of a nightly run"
    nights.accept()
    nights(listed)
    (issue,) = nights.state["issues"]
    assert (issue["state"], issue["comments"][-1]) == (
        "closed",
        "Green again: https://github.com/me/it/actions/runs/6",
    )
    installs = {("cases", "install"), ("merge", "install")}  # README's own line, which .ci/run executes
    assert nights.runner.ran | installs == workflows.steps_with_ids("nightly")

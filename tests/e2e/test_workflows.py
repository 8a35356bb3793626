"""What the workflows may do: read, with actions pinned by commit, and nothing of an event's text in a shell line.

And what they call: sessions, options and packages that exist. tests/e2e/test_gpu_page.py runs the nightly's own step.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.cli.main import parse
from harness.cli.version_pins import git_reference
from harness.gates.rigour import Rigour
from harness.models.checkpoints import published
from harness.plugin.options import from_config
from harness.results.journal import WHOLE
from tests.helpers import fake_gh, workflows

FOLDER = Path(__file__).parents[2] / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))


@pytest.fixture(params=FILES, ids=[f.stem for f in FILES])
def workflow(request):
    return yaml.safe_load(request.param.read_text())


def load(name):
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text())


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_three():
    assert [f.stem for f in FILES] == ["nightly", "tests", "upgrade"]


def test_permissions_are_to_read(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    assert {name for name, job in workflow["jobs"].items() if "permissions" in job} <= {"propose", "issue"}


def test_the_jobs_that_may_write_run_on_a_fresh_machine_and_install_nothing():
    jobs = load("nightly")["jobs"]
    assert jobs["propose"]["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert jobs["issue"]["permissions"] == {"issues": "write"}
    for name in ("propose", "issue"):
        assert jobs[name]["runs-on"] == "ubuntu-24.04"
        lines = "".join(step.get("run", "") for step in jobs[name]["steps"])
        assert not re.search(r"pip|pytest|python|nox", lines)
    assert "inputs.baselines == ''" in jobs["issue"]["if"]


def test_a_linter_of_workflows_finds_nothing():
    """zizmor: no injection by expressions, no token that stays, actions by commit. And actionlint where it is."""
    zizmor = Path(sys.executable).with_name("zizmor")
    assert zizmor.exists(), "zizmor is one of the packages of the extra dev"
    done = subprocess.run(
        [zizmor, "--offline", "--quiet", FOLDER], capture_output=True, text=True, check=False, cwd=FOLDER.parents[1]
    )
    assert done.returncode == 0, done.stdout
    actionlint = shutil.which("actionlint")
    if actionlint:
        done = subprocess.run([actionlint], capture_output=True, text=True, check=False, cwd=FOLDER.parents[1])
        assert done.returncode == 0, done.stdout


def test_what_the_nightly_installs_is_what_the_readme_does():
    """.ci/run executes that line in a fresh clone."""
    readme = (FOLDER.parents[1] / "README.md").read_text()
    for job in ("cases", "merge"):
        (line,) = [step["run"] for step in load("nightly")["jobs"][job]["steps"] if step.get("id") == "install"]
        for part in ("-m venv .venv", "pip install -q -c constraints.txt -e ."):
            assert part in line
            assert part in readme


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


def test_hosted_machines_take_the_wheels_for_cpus_and_keep_pips_cache():
    for name in ("tests", "upgrade"):
        loaded = load(name)
        assert loaded["env"] == {"PIP_EXTRA_INDEX_URL": "${{ vars.TORCH_INDEX }}"}
        pythons = [step["with"] for step in steps(loaded) if step.get("uses", "").startswith("actions/setup-python@")]
        hosted = [job for job in loaded["jobs"].values() if job["runs-on"] == "ubuntu-24.04"]
        pythons = [each for each in pythons if "cache" in each]
        assert len(pythons) == len(hosted)
        assert all((p["cache"], p["cache-dependency-path"]) == ("pip", "constraints.txt") for p in pythons)
    nightly = load("nightly")
    assert "env" not in nightly  # a GPU needs the CUDA libraries
    assert "PIP_EXTRA_INDEX_URL" not in nightly["jobs"]["cases"]["env"]
    assert nightly["jobs"]["merge"]["env"]["PIP_EXTRA_INDEX_URL"] == "${{ vars.TORCH_INDEX }}"
    assert "`TORCH_INDEX`" in (FOLDER.parents[1] / "CONTRIBUTING.md").read_text()


def test_the_oldest_and_the_newest_python_are_tested_and_are_those_of_the_package():
    jobs, root = load("tests")["jobs"], FOLDER.parents[1]
    (oldest,) = [w["python-version"] for w in (step.get("with", {}) for step in jobs["ci"]["steps"]) if "cache" in w]
    tested = [oldest, *jobs["python"]["strategy"]["matrix"]["python"]]
    (listed,) = re.findall(r"^PYTHONS = (\[.*?\])", (root / "noxfile.py").read_text(), flags=re.MULTILINE)
    assert json.loads(listed) == tested
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert project["requires-python"] == f">={oldest}"
    assert (classified[0], classified[-1]) == (tested[0], tested[-1])
    assert any(step.get("run") == 'nox -s "tests-$PYTHON"' for step in jobs["python"]["steps"])


@pytest.mark.parametrize("name", ["versions", "upgrade"])
def test_the_sessions_that_are_called_exist(name):
    sessions = re.findall(r"^def (\w+)\(session", (FOLDER.parents[1] / "noxfile.py").read_text(), flags=re.MULTILINE)
    assert name in sessions
    assert any(f'nox -s "{name}' in f.read_text() or f"nox -s {name}" in f.read_text() for f in FILES)


def nightly_arguments():
    """What the nightly step gives to pytest, with every input set."""
    (step,) = [step for step in load("nightly")["jobs"]["cases"]["steps"] if step.get("id") == "cases"]
    values = {"RUN": "r", "CHECKPOINT": "flux-tiny", "DTYPE": "bfloat16", "BASELINES": "missing", "ARGS": ""}
    values |= {"SHARD": "1/1"}
    line = step["run"].partition("-m pytest ")[2].partition("||")[0].replace("\\\n", " ")
    line = re.sub(r"\$\{(\w+):\+\"(.*?)\"\}", r"\2", line).replace('"', "")
    return re.sub(r"\$(\w+)", lambda name: values[name[1]], line).split()


def test_the_nightly_is_strict_and_its_options_exist(pytester):
    listed = json.loads((FOLDER.parent / "nightly.json").read_text())
    for entry in listed:
        arguments = [*nightly_arguments(), *entry["args"].split()]
        config = pytester.parseconfig(*arguments)
        options = from_config(config)
        assert options.rigour is Rigour.STRICT
        assert options.run_id == "r"
        assert options.shard == WHOLE


def test_the_list_names_checkpoints_that_are_known_and_more_than_the_bundled_ones():
    listed = json.loads((FOLDER.parent / "nightly.json").read_text())
    assert all(set(entry) == {"checkpoint", "dtype", "args", "shards"} for entry in listed)
    names = [entry["checkpoint"] for entry in listed if entry["checkpoint"]]
    assert names
    assert {name.lower() for name in names} <= set(published.PUBLISHED)
    assert any("--dit-analysis" in entry["args"] for entry in listed)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "file"),
        ({"LISTED": '[{"checkpoint": "x", "dtype": "", "args": ""}]'}, [{"checkpoint": "x", "dtype": "", "args": ""}]),
        (
            {"CHECKPOINT": 'a "b" $c', "DTYPE": "bfloat16", "ARGS": "-k x", "LISTED": "[]", "SHARDS": "3"},
            [{"checkpoint": 'a "b" $c', "dtype": "bfloat16", "args": "-k x", "shards": 3}],
        ),
    ],
    ids=["the file", "the variable", "by hand"],
)
def test_the_list_of_a_night(variables, expected, tmp_path):
    (step,) = [step for step in load("nightly")["jobs"]["list"]["steps"] if step.get("id") == "list"]
    empty = dict.fromkeys(("CHECKPOINT", "DTYPE", "ARGS", "SHARDS", "LISTED"), "")
    environment = {"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(tmp_path / "out"), **empty, **variables}
    command = ["bash", "-eo", "pipefail", "-c", step["run"]]
    subprocess.run(command, cwd=FOLDER.parents[1], env=environment, check=True)
    lists = dict(line.split("=", 1) for line in (tmp_path / "out").read_text().splitlines())
    if expected == "file":
        expected = json.loads((FOLDER.parent / "nightly.json").read_text())
    entries = [{"shards": 1} | entry | {"entry": number} for number, entry in enumerate(expected)]
    assert json.loads(lists["checkpoints"]) == entries
    shards = [
        {**entry, "number": i, "shard": f"{i}/{entry['shards']}"}
        for entry in entries
        for i in range(1, entry["shards"] + 1)
    ]
    assert json.loads(lists["shards"]) == shards
    assert lists.keys() == {"checkpoints", "shards"}


def test_of_each_jobs_baselines_the_changed_files_are_proposed(tmp_path):
    (step,) = [step for step in load("nightly")["jobs"]["propose"]["steps"] if step.get("id") == "commit"]
    for name, text in {"a/cpu.json": "a0", "b/cpu.json": "b0"}.items():
        (tmp_path / "baselines" / name).parent.mkdir(parents=True)
        (tmp_path / "baselines" / name).write_text(text)
    environment = {"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(tmp_path.with_name("out")), "HOME": str(tmp_path)}
    environment |= {"BASELINES": "changed", "BRANCH": "baselines-1"}
    first = (
        "git init -q -b main && git config user.name a && git config user.email a@b && git add . && git commit -qm 0"
    )
    subprocess.run(["bash", "-ec", first], cwd=tmp_path, env=environment, check=True)
    for job, changed in {"0": {"a/cpu.json": "a1"}, "1": {"b/gpu.json": "new"}}.items():
        folder = tmp_path / "stored" / f"baselines-{job}"
        for name, text in ({"a/cpu.json": "a0", "b/cpu.json": "b0"} | changed).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], cwd=tmp_path, env=environment, check=True)
    assert tmp_path.with_name("out").read_text() == "changed=yes\n"
    done = subprocess.run(
        ["git", "show", "--stat=200", "--format=%s", "baselines-1"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.findall(r"^ (\S+) ", done.stdout, flags=re.MULTILINE)[:2] == [
        "baselines/a/cpu.json",
        "baselines/b/gpu.json",
    ]
    assert (tmp_path / "baselines" / "a" / "cpu.json").read_text() == "a1"


def test_the_upgrade_looks_at_the_libraries_below_diffusers_and_at_its_main_branch():
    job, real = load("upgrade")["jobs"].values()
    packages = job["strategy"]["matrix"]["package"]
    assert {"diffusers", "transformers", "torch", "accelerate", "main"} == set(packages)
    pinned = (FOLDER.parents[1] / "constraints.txt").read_text()
    assert all(re.search(rf"^{name}==", pinned, flags=re.MULTILINE) for name in packages if name != "main")
    assert git_reference("main") is not None
    lines = "".join(step.get("run", "") for step in job["steps"])
    assert 'nox -s upgrade -- --package "$PACKAGE" pinned newest' in lines
    assert "nox -s upgrade -- pinned main" in lines
    assert real["strategy"]["matrix"]["to"] == ["newest", "main"]
    assert real["runs-on"] == ["self-hosted", "gpu"]
    (line,) = [step["run"] for step in real["steps"] if step.get("id") == "compare"]
    words = line.partition("-m harness ")[2].replace("\\\n", " ").replace('"$DTYPE"', "bf16").replace('"$TO"', "main")
    given = parse(shlex.split(words.replace('"$CHECKPOINT"', "flux-tiny").replace("$ARGS", "-k single")))
    assert given.pytest_arguments == ["--dit-checkpoint=flux-tiny", "-k", "single"]
    assert given.fail_on_regression
    assert '"--fail-on-regression"' in (FOLDER.parents[1] / "noxfile.py").read_text()


def test_one_issue_is_opened_kept_up_to_date_and_closed(tmp_path):
    (tmp_path / "bin").mkdir()
    fake_gh.write_command(tmp_path / "bin" / "gh")
    github = tmp_path / "github.json"
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "GH_STATE": str(github), "GH_TOKEN": "t"}
    environment |= {"GH_REPO": "me/it", "GITHUB_REPOSITORY": "me/it", "GITHUB_SERVER_URL": "https://github.com"}
    runner = workflows.Runner("nightly", tmp_path, environment)

    def night(number, cases="success", merge="success", section=""):
        shutil.rmtree(tmp_path / "sections", ignore_errors=True)
        if section:
            (tmp_path / "sections").mkdir()
            (tmp_path / "sections" / "issue-0.md").write_text(section)
        runner("issue", "issue", CASES=cases, MERGE=merge, GITHUB_RUN_ID=str(number))
        return fake_gh.state(github)["issues"]

    assert night(1) == []
    (issue,) = night(2, cases="failure", section="### m: 1 of 2 results is red\n")
    assert (issue["title"], issue["state"], issue["labels"]) == ("The nightly run is red", "open", ["nightly"])
    assert "### m: 1 of 2 results is red" in issue["body"]
    (issue,) = night(3, merge="failure")
    assert issue["comments"] == ["Red again: https://github.com/me/it/actions/runs/3"]
    assert "merge: failure" in issue["body"]
    (issue,) = night(4)
    assert (issue["state"], issue["comments"][-1]) == ("closed", "Green again: https://github.com/me/it/actions/runs/4")
    assert len(night(5, section="x" * 100_000)) == 2
    assert len(night(6)[1]["body"]) < 65_536

"""The files of a repository of one's own, as text: what ``python -m harness init`` writes."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from harness._version import __version__

_DISTRIBUTION = "dit-ablation-harness"
_CASES = '''"""Layer ablations of {name}: each block skipped, and every strategy on the middle of each stack."""

import pytest

from harness import ALL_STRATEGIES, SAME_COST, Ask

STACKS = {stacks}

pytestmark = pytest.mark.dit(
    {checkpoint},
    Ask(STACKS, ("each",), ("skip",)),
    Ask(STACKS, ("middle",), ALL_STRATEGIES),
    SAME_COST,  # fewer steps and residual reuse that save as much time
)


def test_ablation(ablation):
    """Harm, drift and collapses of the variant's images, against the stored baseline."""
    ablation.check(ablation.measure())


def test_latency(ablation, benchmark):
    """The speed-up of the transformer's forward, control and variant in turns."""
    ablation.time(benchmark)


def test_control(control):
    """Score, collapses and reseed distance of the un-ablated model, against the stored baseline."""
    control.check()
'''
_WORKFLOW = """\
# The layer ablations of cases/, compared with the values in baselines/. Made by `python -m harness init`.
name: ablations

on:
{events}

permissions:
  contents: read

concurrency:
  group: ablations-${{{{ github.ref }}}}
  cancel-in-progress: true

jobs:
  cases:
{machine}
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          persist-credentials: false
      - uses: actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0
        with:
          python-version: "3.12"
          cache: pip
          cache-dependency-path: .github/workflows/ablations.yml
      - run: python -m pip install {requirement}
      - run: python -m pytest cases/ --dit-run-id=ci --junit-xml=reports/ci/junit.xml
      - if: always()
        run: test ! -f reports/ci/ranking.md || cat reports/ci/ranking.md >> "$GITHUB_STEP_SUMMARY"
      - if: always()
        uses: actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2
        with:
          name: ablations
          path: reports/ci
          if-no-files-found: warn
"""
_PULL_REQUESTS = """\
  pull_request:
  workflow_dispatch:"""
# Not on pull requests: they bring code of others to a machine that stays.
_EVERY_NIGHT = """\
  schedule:
    - cron: "17 2 * * *"
  workflow_dispatch:"""
_HOSTED = """\
    runs-on: ubuntu-24.04
    timeout-minutes: 120
    env:
      # Make a repository variable TORCH_INDEX with the address of PyTorch's wheels for CPUs (it is on PyTorch's page
      # on how to install it). Without it pip also installs the CUDA libraries, which are 3 GB.
      PIP_EXTRA_INDEX_URL: ${{ vars.TORCH_INDEX }}"""
_OWN_GPU = """\
    # A machine of your own, in whose hub cache the checkpoint is.
    runs-on: [self-hosted, gpu]
    timeout-minutes: 480"""
# Where pytest looks for its settings, and the table that says that they are there (None: the file is enough).
_SETTINGS = {
    "pytest.ini": None,
    ".pytest.ini": None,
    "pytest.toml": None,
    ".pytest.toml": None,
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}


def case_file_name(name: str) -> str:
    """The file name of a checkpoint's cases: ``test_flux_tiny.py``."""
    return f"test_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}.py"


def case_file(name: str, checkpoint: str, stacks: Sequence[str]) -> str:
    """Cases for a checkpoint; ``checkpoint`` is how the mark names it, ``name`` how people do."""
    # JSON's strings are Python's, and in the quotes that formatters want.
    listed = ", ".join(map(json.dumps, stacks)) + ("," if len(stacks) == 1 else "")
    return _CASES.format(name=name, checkpoint=json.dumps(checkpoint), stacks=f"({listed})")


def pytest_settings(folder: Path) -> str:
    """A pytest.ini for a folder without any settings of pytest, "" for one that has them.

    Without settings, pytest takes the folder on its command line for the root, and reports would be in cases/.
    """
    for file, table in _SETTINGS.items():
        path = folder / file
        if path.is_file() and (table is None or table in path.read_text(encoding="utf-8", errors="replace")):
            return ""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        project = {}
    if "pytest" in project.get("tool", {}):
        return ""
    return f"[pytest]\ntestpaths = {'tests' if (folder / 'tests').is_dir() else 'cases'}\n"


def workflow(*, gpu: bool) -> str:
    """A workflow that runs the cases: each night on a GPU of one's own, or for each pull request on a hosted CPU."""
    events, machine = (_EVERY_NIGHT, _OWN_GPU) if gpu else (_PULL_REQUESTS, _HOSTED)
    return _WORKFLOW.format(events=events, machine=machine, requirement=shlex.quote(requirement()))


def requirement() -> str:
    """What pip installs to have this very harness: its version, or the commit of the repository that it is from."""
    try:
        text = metadata.distribution(_DISTRIBUTION).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        text = None
    origin = json.loads(text) if text else {}
    vcs = origin.get("vcs_info")
    if vcs is None:
        return f"{_DISTRIBUTION}=={__version__}"
    return f"{_DISTRIBUTION} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"

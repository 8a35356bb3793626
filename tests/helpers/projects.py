"""A project of somebody's own: its case files, and runs of them."""

from __future__ import annotations

import json

from harness.gates import baselines
from harness.results.journal import JOURNALS, read

CASES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip", "reverse", "parallel.t3")))


def test_ablation(ablation):
    ablation.check(ablation.measure())
"""
LATENCY = """

def test_latency(ablation, benchmark):
    ablation.time(benchmark)
"""
CONTROL = """

def test_control(control):
    control.check()
"""
SKIP = "flux-tiny-double-L01-03-skip"
TOLERANCES = """
[[tolerance]]
pattern = "*"
metric = "harm"
absolute = 0.05

[[tolerance]]
pattern = "flux-*"
metric = "latent_drift"
absolute = 0.02

[[tolerance]]
pattern = "*-control"
metric = "score"
absolute = 0.05
"""


def run(project, *arguments):
    """A run in this process, with the project's prompts, into reports/r, which is made anew."""
    forget(project)
    return go_on(project, "--dit-run-id=r", *arguments)


def forget(project):
    """Let no run be in reports/r any more."""
    for journal in (project.path / "reports" / "r").glob(JOURNALS):
        journal.unlink()


def go_on(project, *arguments):
    """As :func:`run`, into the run folder that the options name."""
    return project.runpytest_inprocess(
        "-p", "no:randomly", "-p", "no:cacheprovider", "--dit-prompts=prompts.txt", *arguments
    )


def baseline(project):
    """Where its values are stored."""
    return project.path / "baselines" / "flux-tiny" / "cpu-float32.json"


def rewrite(path, data):
    """Write a baseline file with other facts as if it had been measured so: with the digest of its facts."""
    path.write_text(json.dumps({key: value for key, value in data.items() if key != "facts_digest"}))
    baselines.save(baselines.load(path, data["checkpoint"], unsigned=True))


def listed(project, *arguments):
    """Ids of the ablations that are collected, without the checkpoint."""
    result = run(project, "--co", "-q", *arguments)
    found = [line.partition("[flux-tiny-")[2].rstrip("]") for line in result.outlines if "::test_ablation[" in line]
    return found, result


def records(project):
    """What the run measured, by case."""
    return {r.case: r for r in read(project.path / "reports" / "r") if r.kind == "quality"}

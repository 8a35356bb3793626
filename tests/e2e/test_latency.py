"""Latency as pytest-benchmark's users meet it."""

from __future__ import annotations

import json
import subprocess
import sys

from harness.results.journal import read
from tests.helpers.projects import CASES, LATENCY, SKIP, run


def test_latency_is_timed_in_pairs(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    result = run(project, "-k", "skip", "--dit-rounds=6", "--benchmark-json=bench.json")
    result.assert_outcomes(passed=2, deselected=4)
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind == "latency")
    assert len(record.latency.control) == len(record.latency.variant) == 6
    assert record.latency.low <= record.latency.ratio <= record.latency.high
    assert record.latency.theory > 1
    data = json.loads((project.path / "bench.json").read_text())
    (bench,) = data["benchmarks"]
    assert bench["extra_info"]["case"] == SKIP
    assert len(bench["extra_info"]["control_seconds"]) == 6
    assert bench["param"] == SKIP
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "bench.json"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "test_latency" in done.stdout


def test_disabled_benchmarks_are_not_measured(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    run(project, "-k", "skip", "--benchmark-disable").assert_outcomes(passed=2, deselected=4)
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind == "latency")
    assert record.latency is None
    assert record.verdict.notes == ("not measured: benchmarks are disabled",)

"""Latency as pytest-benchmark's users meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

from harness.plugin.fixtures import ablation
from harness.results.journal import read
from tests.helpers.projects import CASES, LATENCY, SKIP, baseline, run


def test_latency_is_timed_in_pairs(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    result = run(project, "-k", "skip", "--dit-rounds=6", "--benchmark-json=bench.json")
    result.assert_outcomes(passed=2, deselected=4)
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind == "latency")
    assert len(record.latency.control) == len(record.latency.variant) == 6
    assert record.latency.low <= record.latency.ratio <= record.latency.high
    assert record.latency.theory > 1
    assert record.latency.image.forwards == 4
    assert record.latency.image_seconds > 4 * min(record.latency.variant) / record.latency.batch
    assert record.latency.image_speed_up > 0
    row = json.loads((project.path / "reports" / "r" / "ranking.json").read_text())[0]["rows"][0]
    assert row["image_speed_up"] == record.latency.image_speed_up
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


TIMED = """
[[tolerance]]
pattern = "*"
metric = "relative_time"
relative = 0.5
"""


def test_a_stored_time_is_a_gate_on_a_cpu_too(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    with (project.path / "baselines" / "tolerances.toml").open("a") as file:
        file.write(TIMED)
    assert run(project, "-k", "skip", "--dit-baseline-update=missing").ret == 0
    assert run(project, "-k", "skip").ret == 0
    data = json.loads(baseline(project).read_text())
    entry = data["cases"][SKIP]["relative_time"]
    stored = entry["value"]
    assert 0.3 < stored < 1.2
    assert entry["low"] <= stored <= entry["high"]
    # Far off, and with no interval of its own: a burst of load on this machine cannot reach it.
    for factor, word in ((30, "better than it was: stale"), (0.1, "limit")):
        data["cases"][SKIP]["relative_time"] = {"n": 12, **dict.fromkeys(("low", "value", "high"), stored * factor)}
        baseline(project).write_text(json.dumps(data))
        result = run(project, "-k", "skip")
        result.assert_outcomes(passed=1, failed=1, deselected=4)
        result.stdout.fnmatch_lines([f"relative time *[[]*[]]*baseline *{word}*"])


def test_what_is_red_is_timed_again(project, monkeypatch):
    project.makepyfile(test_mine=CASES + LATENCY)
    with (project.path / "baselines" / "tolerances.toml").open("a") as file:
        file.write(TIMED)
    assert run(project, "-k", "skip", "--dit-baseline-update=missing").ret == 0
    timed = ablation.measure

    def under_load(*arguments):
        latency = timed(*arguments)
        return replace(latency, ratio=latency.ratio / 5, low=latency.low / 5, high=latency.high / 5)

    monkeypatch.setattr(ablation, "measure", under_load)
    assert run(project, "-k", "skip").ret == 0
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind == "latency")
    assert record.latency.ratio > 0.6

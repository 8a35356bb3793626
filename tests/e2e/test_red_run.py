"""A red run as its reader meets it: short summary, pictures, the page for a job's summary, JUnit properties."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from harness.results.journal import read
from tests.helpers.projects import CASES, CONTROL, LATENCY, SKIP, baseline, forget, run

REVERSE = SKIP.replace("skip", "reverse")


def properties(path):
    """The properties of each test in a JUnit file, by the test's name."""
    return {
        case.get("name"): {each.get("name"): each.get("value") for each in case.iter("property")}
        for case in ET.parse(path).getroot().iter("testcase")
    }


def move(project):
    """Store another harm than the measured one for the skip."""
    data = json.loads(baseline(project).read_text())
    data["cases"][SKIP]["harm"]["value"] += 10
    baseline(project).write_text(json.dumps(data))


def test_a_red_run_says_what_is_red_everywhere(project, monkeypatch):
    run(project, "--dit-baseline-update=all", "-k", "control or skip or reverse")
    move(project)
    monkeypatch.setenv("COLUMNS", "130")
    result = run(project, "-k", "control or skip or reverse", "--junit-xml=junit.xml")
    result.assert_outcomes(passed=2, failed=1, deselected=1)
    folder = project.path / "reports" / "r"

    short = next(line for line in result.outlines if line.startswith("FAILED "))
    assert short.partition(" - ")[2].startswith("harm ")
    result.stdout.fnmatch_lines(["FAILED *skip?* - harm * sd, baseline *, limit *"])
    result.stdout.fnmatch_lines(
        ["least harmful variant:*", "red (1 of 3 results):", f"{SKIP}: harm * sd, baseline *, limit *: better*"]
    )

    page = (folder / "ranking.md").read_text()
    assert page.startswith(f"# 1 of 3 results is red\n\n2 ok, 1 stale.\n\n**{SKIP}**\n\n```text\nharm ")
    red, _, rest = page.partition("# Least harmful variant")
    assert f'accept with: pytest "test_mine.py::test_ablation[{SKIP}]" --dit-baseline-update=changed' in red
    assert "only the stored value changed" in red
    assert "on a " in red  # the prompts of the bundled world
    assert "| #" in rest

    # The very message stands in the journal, from which the page can be made again.
    (record,) = (r for r in read(folder) if r.case == SKIP)
    assert all(line.rstrip() in result.stdout.str() for line in record.failure.split("\n"))
    cited = folder / "images" / f"{SKIP}-prompts.png"
    assert f" reports/r/images/{cited.name}:" in record.failure
    with Image.open(cited) as picture:
        assert picture.width >= 2 * 200
        assert picture.height >= 3 * 200
    assert (folder / "images" / f"{REVERSE}-prompts.png").exists()

    told = properties(project.path / "junit.xml")
    assert told[f"test_ablation[{SKIP}]"]["verdict"] == "stale"
    assert float(told[f"test_ablation[{SKIP}]"]["harm"]) == pytest.approx(record.measurement.summary["harm"], rel=1e-5)
    assert float(told[f"test_ablation[{SKIP}]"]["harm.tolerance"]) == 0.05
    assert told[f"test_ablation[{REVERSE}]"]["verdict"] == "ok"
    assert {"first_score", "first_score.baseline"} <= set(told["test_control[flux-tiny-control]"])


def test_properties_and_messages_come_through_xdist(project):
    pytest.importorskip("xdist")
    project.makepyfile(test_mine=CASES + CONTROL + LATENCY)
    run(project, "--dit-baseline-update=all", "-k", "ablation and skip or control", "--benchmark-skip")
    move(project)
    forget(project)
    arguments = ["-n1", "--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly", "--junit-xml=junit.xml"]
    result = project.runpytest_subprocess(*arguments, "--dit-rounds=6", "-k", "skip")
    # pytest-benchmark measures nothing under xdist.
    result.assert_outcomes(passed=1, failed=1)
    told = properties(project.path / "junit.xml")
    assert told[f"test_ablation[{SKIP}]"]["verdict"] == "stale"
    assert {"harm", "latent_drift", "harm.baseline"} <= set(told[f"test_ablation[{SKIP}]"])
    assert told[f"test_latency[{SKIP}]"] == {}
    assert (project.path / "reports" / "r" / "ranking.md").read_text().startswith("# 1 of ")
    assert (project.path / "reports" / "r" / "images" / f"{SKIP}-prompts.png").exists()


def test_a_latency_test_has_properties(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    run(project, "-k", "latency and skip", "--dit-rounds=6", "--junit-xml=junit.xml").assert_outcomes(
        passed=1, deselected=5
    )
    told = properties(project.path / "junit.xml")[f"test_latency[{SKIP}]"]
    assert {"speed_up", "speed_up_low", "speed_up_high", "relative_time", "image_speed_up"} <= set(told)
    assert float(told["speed_up"]) == pytest.approx(1 / float(told["relative_time"]), rel=1e-4)

"""``--dit-unjudged`` and ``--dit-strict``: what can't be compared with stored values is red, or is let pass."""

from __future__ import annotations

import json
import shutil

import pytest

from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import read
from harness.results.records import Status
from tests.helpers.projects import SKIP, baseline, run

REASON = "measured with other prompts than the baseline"


@pytest.fixture
def stored(project):
    """A project whose cases have stored values."""
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=4)
    return project


def statuses(project):
    """Those of the last run: each case's last record, for what was measured otherwise stays beside it."""
    last = {(r.kind, r.case): r for r in read(project.path / "reports" / "r")}
    return {r.verdict.status for r in last.values()}


def test_two_prompts_exchanged_are_red_and_the_reason_is_said_once_in_every_place(stored):
    lines = (stored.path / "prompts.txt").read_text().splitlines()
    (stored.path / "prompts.txt").write_text("\n".join([*lines[1::-1], *lines[2:]]) + "\n")
    result = run(stored)
    result.assert_outcomes(failed=4)
    assert statuses(stored) == {Status.INCOMPARABLE}
    result.stdout.fnmatch_lines(
        [
            f"*flux-tiny: cpu-float32.json does not apply: {REASON}; every case fails (to explore: --dit-unjudged=ok)",
            f"not compared with stored values: {REASON}*",  # and how many of which verdict, in the next line
        ]
    )
    assert (stored.path / "reports" / "r" / "ranking.md").read_text().count(
        REASON
    ) == 2  # of what is red, and below the table
    before = baseline(stored).read_text()
    result = run(stored, "--dit-unjudged=ok")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*; nothing is judged", f"not compared *{REASON}*"])
    assert baseline(stored).read_text() == before


def test_another_batch_is_compared_as_it_is_and_a_wrong_vae_shows(project):
    folder = project.path / "mine"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    settings = json.loads((folder / "harness.json").read_text())
    settings |= {"batch": 3, "judge": str(BUNDLED / "judge"), "prompts": ""}
    (folder / "harness.json").write_text(json.dumps(settings | {"batch": 8}))
    run(project, f"--dit-checkpoint={folder}", "--dit-baseline-update=all").assert_outcomes(passed=4)
    (folder / "harness.json").write_text(json.dumps(settings))
    assert run(project, f"--dit-checkpoint={folder}").ret == 0
    assert statuses(project) == {Status.OK}
    config = json.loads((folder / "vae" / "config.json").read_text())
    config["scaling_factor"] = 1.2 * config.get("scaling_factor", 0.18215)
    (folder / "vae" / "config.json").write_text(json.dumps(config))
    assert run(project, f"--dit-checkpoint={folder}").ret == 1


def test_a_file_that_was_edited_to_apply_is_an_error(stored):
    text = baseline(stored).read_text()
    data = json.loads(text)
    baseline(stored).write_text(text.replace(data["facts"]["prompts"], "0" * 12))
    result = run(stored)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: baseline *cpu-float32.json was edited: its facts *"])


def test_without_a_file_only_a_strict_run_is_red(project):
    run(project).assert_outcomes(passed=4)
    assert statuses(project) == {Status.UNJUDGED}
    result = run(project, "--dit-strict")
    result.assert_outcomes(failed=4)
    assert statuses(project) == {Status.MISSING}
    result.stdout.fnmatch_lines(
        [
            "*no baseline for cpu-float32: every case fails (--dit-strict)",
            "missing: there is no cpu-float32.json for this checkpoint",
            "accept with: *--dit-baseline-update=missing",
        ]
    )


def test_a_gate_that_was_stored_and_is_not_measured_is_red(stored):
    data = json.loads(baseline(stored).read_text())
    data["cases"][SKIP]["fid_ratio"] = {"n": 64, "value": 1.0}
    baseline(stored).write_text(json.dumps(data))
    run(stored).assert_outcomes(passed=4)  # no gate
    with (stored.path / "baselines" / "tolerances.toml").open("a") as file:
        file.write('[[tolerance]]\npattern = "*"\nmetric = "fid_ratio"\nrelative = 0.5\n')
    result = run(stored)  # six prompts give no FID
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["fid ratio *not measured, though it is a gate", "accept with: *update=changed"])
    assert run(stored, "--dit-baseline-update=missing").ret == 1
    assert run(stored, "--dit-baseline-update=changed").ret == 0
    assert "fid_ratio" not in json.loads(baseline(stored).read_text())["cases"][SKIP]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-unjudged=yes"], "--dit-unjudged takes ok, not 'yes'"),
        (["--dit-strict", "--dit-unjudged=ok"], "--dit-strict and --dit-unjudged=ok are opposites; *"),
    ],
)
def test_wrong_options_are_one_line(project, arguments, message):
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])

"""``--dit-steps``, ``--dit-size``, ``--dit-batch`` and ``--dit-control-seeds`` as a user meets them."""

from __future__ import annotations

import json

import pytest

from harness.results.journal import read
from harness.results.records import Kind, Status
from tests.helpers.projects import baseline, records, run


def test_a_run_may_be_cheaper_than_the_checkpoints_own(project):
    options = ("--dit-steps=2", "--dit-size=24x32", "--dit-control-seeds=2", "--dit-batch=3")
    result = run(project, *options, "-k", "control or skip")
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "dit: flux-tiny (5 double, 10 single blocks, 2 steps, float32); *",
            "dit: 1 case: 6 images and 12 of the control, 12 forwards of 3 images, *",
        ]
    )
    (control,) = (r for r in read(project.path / "reports" / "r") if r.kind is Kind.CONTROL)
    sampling = control.fingerprint.sampling
    assert {name: sampling[name] for name in ("steps", "width", "height", "seeds", "batch")} == {
        "steps": 2,
        "width": 24,
        "height": 32,
        "seeds": 2,
        "batch": 3,
    }
    assert control.measurement.n == 12


@pytest.mark.parametrize("option", ["--dit-steps=2", "--dit-size=24", "--dit-control-seeds=2"])
def test_values_stored_under_other_settings_do_not_apply(project, option):
    run(project, "--dit-baseline-update=all", "-k", "skip or control")
    stored = baseline(project).read_text()
    result = run(project, option, "-k", "skip")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(
        [
            "*cpu-float32.json does not apply: measured with other sampling than the baseline; every case fails *",
            "incomparable: measured with other sampling than the baseline",
        ]
    )
    assert run(project, option, "-k", "skip", "--dit-unjudged=ok").ret == 0
    # Nor are they mixed into one file.
    result = run(project, option, "-k", "skip", "--dit-baseline-update=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert baseline(project).read_text() == stored


def test_another_batch_is_recorded_and_still_compared(project):
    run(project, "--dit-baseline-update=all", "-k", "skip or control")
    assert json.loads(baseline(project).read_text())["facts"]["sampling"]["batch"] == 64
    run(project, "--dit-batch=2", "-k", "skip").assert_outcomes(passed=1, deselected=3)
    (record,) = records(project).values()
    assert record.verdict.status is Status.OK
    assert record.fingerprint.sampling["batch"] == 2


def test_random_weights_take_a_size_and_a_batch(project):
    options = ("--dit-weights=random:small", "--dit-size=24", "--dit-batch=2", "-k", "skip")
    result = project.runpytest_inprocess(*options, "-p", "no:randomly", "--dit-run-id=r")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["dit: flux-tiny-random-small (*): reduced size, 24 x 24 px, batch 2, float32; *"])
    for option, why in (
        ("--dit-steps=2", "there are no denoising steps"),
        ("--dit-control-seeds=2", "there are no seeds"),
    ):
        result = project.runpytest_inprocess("--dit-weights=random:small", option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *{why}*; leave out {option.partition('=')[0]}*"])

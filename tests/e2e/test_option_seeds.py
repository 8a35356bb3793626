"""``--dit-seeds`` as a user meets it."""

from __future__ import annotations

import pytest

from harness.results.journal import read
from harness.results.records import Kind
from tests.helpers.projects import run


def test_a_variant_runs_on_several_seeds(project):
    result = run(project, "--dit-seeds=2", "-k", "skip")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        [
            "dit: 1 case: 12 images and 24 of the control, *",
            "dit: 6 prompts x 2 seeds: harm is known to about ?1.05 sd where images change as much as by another seed",
        ]
    )
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind is Kind.QUALITY)
    assert (record.measurement.n, record.measurement.prompts) == (12, 6)
    assert record.fingerprint.sampling["variant_seeds"] == 2


def test_values_of_one_seed_are_not_compared_with_those_of_two(project):
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=4)
    assert run(project, "-k", "skip").ret == 0
    result = run(project, "--dit-seeds=2", "-k", "skip")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["incomparable: measured with other sampling than the baseline"])
    assert run(project, "--dit-seeds=2", "-k", "skip", "--dit-unjudged=ok").ret == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-seeds=5"], "*can't run on 5 seeds: checkpoint 'flux-tiny' measures its control on 4 *"),
        (["--dit-seeds=0"], "*--dit-seeds takes a whole number from 1, not '0'*"),
    ],
    ids=["beyond-the-control", "none"],
)
def test_seeds_that_there_are_not_are_refused(project, arguments, message):
    result = run(project, *arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([message])

"""``--dit-plan``, ``--dit-stack``, ``--dit-range``, ``--dit-strategy`` and ``-k``: which cases run."""

from __future__ import annotations

import pytest

from tests.helpers.projects import run


def test_plans_by_hand_are_ranked_and_not_judged(project):
    run(project, "--dit-baseline-update=all", "-k", "skip")
    result = run(project, "--dit-plan=double: 0-1 (2|3)x2 4", "--dit-plan=single: 0-3 5-9", "-k", "plan")
    result.assert_outcomes(passed=2, deselected=1)
    result.stdout.fnmatch_lines(["*double-plan-*unjudged*"])
    # They have no other name that says what they are: on any terminal the plans are there.
    for plan in ("0 1 (2|3)x2 4", "0-3 5-9"):
        assert any("-plan-" in line and plan in line for line in result.outlines), plan


def test_options_replace_the_grid(project):
    result = run(project, "--dit-stack=single", "--dit-range=3-5,7", "--dit-strategy=skip", "--co", "-q")
    result.stdout.fnmatch_lines(
        ["*test_ablation?flux-tiny-single-L07-skip?", "*test_ablation?flux-tiny-single-L03-05-skip?"]
    )
    assert len([line for line in result.outlines if "test_ablation" in line]) == 2


def test_k_knows_depths_and_families(project):
    for word, count in (("middle", 3), ("looped", 1), ("flux", 4), ("sd3", 0)):
        result = run(project, "--co", "-q", "-k", word)
        assert len([line for line in result.outlines if "::" in line]) == count, word


BOTH = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("bundled", Ask((), (), ()))


def test_ablation(ablation):
    ablation.check(ablation.measure())
"""


def test_a_stack_that_one_checkpoint_lacks_makes_no_cases_there(project):
    project.makepyfile(test_mine=BOTH)
    result = run(project, "--co", "-q", "--dit-plan=double: 0-1 3 2 4", "-k", "plan")
    assert result.ret == 0
    cases = [line for line in result.outlines if "::test_ablation[" in line]
    assert [line.partition("[")[2].partition("-double-plan-")[0] for line in cases] == ["auraflow-tiny", "flux-tiny"]
    result.stdout.fnmatch_lines(
        ["dit: checkpoint 'sd3-tiny' has no stack 'double'; it has joint (12 blocks): no cases *"]
    )
    result = run(project, "--co", "-q", "--dit-stack=double", "--dit-strategy=skip", "-k", "flux")
    assert result.ret == 0
    assert "sd3-tiny" not in result.stdout.str() + result.stderr.str()


def test_a_stack_that_none_has_and_a_block_that_one_has_not_are_mistakes(project):
    project.makepyfile(test_mine=BOTH)
    result = run(project, "--co", "-q", "--dit-stack=tripel")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert all(f"checkpoint '{name}-tiny' has no stack 'tripel'" in result.stderr.str() for name in ("flux", "sd3"))
    result = run(project, "--co", "-q", "--dit-plan=double: 0-9", "-k", "flux and not auraflow")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: plan '0-9' over stack 'double' of 5 blocks (0-4): block 9 is out of range *"])
    assert ";" not in result.stderr.str().partition("; a plan is written")[0]

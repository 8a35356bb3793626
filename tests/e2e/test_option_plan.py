"""``--dit-plan``, ``--dit-stack``, ``--dit-range``, ``--dit-strategy`` and ``-k``: which cases run."""

from __future__ import annotations

from tests.helpers.projects import run


def test_plans_by_hand_are_ranked_and_not_judged(project):
    run(project, "--dit-baseline-update=all", "-k", "skip")
    result = run(project, "--dit-plan=double: 0-1 (2|3)x2 4", "--dit-plan=single: 0-3 5-9", "-k", "plan")
    result.assert_outcomes(passed=2, deselected=1)
    result.stdout.fnmatch_lines(["*double-plan-*unjudged*"])


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

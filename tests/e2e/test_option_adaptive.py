"""--dit-adaptive and --dit-budget: fewer images, a run that goes on, and a budget that is named where it ends."""

from __future__ import annotations

import pytest

from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.adaptive import looks
from harness.results.journal import FILE, read
from harness.results.records import Kind
from tests.helpers.projects import go_on, run

ALL = (BUNDLED / "prompts.txt").read_text().splitlines()


@pytest.fixture
def images(project, monkeypatch):
    """The numbers of prompts that variants are run on, from here on; the project has 16 prompts."""
    (project.path / "prompts.txt").write_text("\n".join(ALL[:16]) + "\n")
    counts = []
    sample = Lab.run

    def counted(self, plan, stack=None, window=None, indices=None, **more):
        counts.append(len(self.prompts if indices is None else indices))
        return sample(self, plan, stack, window, indices, **more)

    monkeypatch.setattr(Lab, "run", counted)
    return counts


def variants(project):
    return {r.case: r for r in read(project.path / "reports" / "r") if r.kind is Kind.QUALITY}


def test_variants_are_measured_in_rounds_and_a_killed_run_goes_on_with_them(project, images):
    result = run(project, "--dit-adaptive", "--dit-unjudged=ok")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*flux-tiny: look 1 of *, 3 variants on 4 of 16 prompts; *", "adaptive: *"])
    assert set(images) <= {4, *(b - a for a, b in zip(looks(16), looks(16)[1:], strict=False))}
    assert sum(images) < 3 * 16
    first = variants(project)
    assert any(record.measurement.partial for record in first.values())
    for record in first.values():
        if record.measurement.partial:
            assert record.verdict.status == "unjudged"
    made = sum(images)
    # A journal that ends in the middle of the last record: what was measured before is kept.
    journal = project.path / "reports" / "r" / FILE
    lines = journal.read_bytes().splitlines(keepends=True)
    rounds = [line for line in lines if b"the run went no further" in line]
    journal.write_bytes(b"".join(rounds[:2]) + rounds[2][:200])
    images.clear()
    result = go_on(project, "--dit-resume=r", "--dit-adaptive", "--dit-unjudged=ok")
    result.assert_outcomes(passed=4)
    assert sum(images) == made - 4 * 2
    again = variants(project)
    assert {n: r.measurement for n, r in again.items()} == {n: r.measurement for n, r in first.items()}
    images.clear()
    go_on(project, "--dit-resume=r", "--dit-adaptive", "--dit-unjudged=ok").assert_outcomes(passed=4)
    assert images == []
    # Without --dit-adaptive, what was measured on some prompts is measured on all.
    go_on(project, "--dit-resume=r", "--dit-unjudged=ok").assert_outcomes(passed=4)
    assert set(images) == {16}
    assert not any(record.measurement.partial for record in variants(project).values())


def test_a_budget_ends_with_a_ranking_that_names_what_was_not_measured(project, images):
    # 64 images of the control, 30 of the screening, and a round of one or two variants.
    result = run(project, "--dit-budget", "100 images", "--dit-unjudged=ok")
    measured = {name: r for name, r in variants(project).items() if r.measurement is not None}
    left = {name: r for name, r in variants(project).items() if r.measurement is None}
    assert measured
    assert left
    result.assert_outcomes(passed=1 + len(measured), skipped=len(left))
    result.stdout.fnmatch_lines([f"not measured ({len(left)}), as the budget of 100 images was spent*"])


def test_a_stored_control_is_not_charged_for_the_seeds_that_are_not_made(project, images):
    run(project, "--dit-baseline-update=missing").assert_outcomes(passed=4)
    # 16 images of the control, 30 of the screening, and a round of one or two variants.
    result = go_on(project, "--dit-budget", "60 images", "--dit-unjudged=ok")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["dit: 3 cases: * and at most 64 of the control, *", "*screened 3 variants *"])
    result = go_on(project, "--dit-budget", "60 images", "--dit-unjudged=ok", "--dit-control=full")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dit-budget=60 images",), "--dit-budget 60 images: the control takes 64 images and the screening *"),
        (("--dit-budget=soon",), "--dit-budget takes hours, minutes or control images (2h, 90m, '800 images'), not *"),
        (("--dit-adaptive", "--dit-shard=1/2"), "--dit-adaptive measures each * leave out --dit-shard"),
        (("--dit-adaptive", "-n2"), "--dit-adaptive measures each * leave out -n"),
        (("--dit-budget=2h", "--dit-baseline-update=all"), "--dit-budget measures * leave out --dit-baseline-update"),
        (("--dit-adaptive", "--dit-calibrate=2"), "--dit-adaptive measures each * leave out --dit-calibrate"),
    ],
)
def test_wrong_input_is_one_line(project, images, options, message):
    result = go_on(project, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert images == []


def test_random_weights_make_no_images_to_save(project):
    result = project.runpytest_inprocess("--dit-adaptive", "--dit-weights=random:small")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --dit-weights=random:small: * leave out --dit-adaptive"])


def test_a_budget_of_time_below_the_control_ends_the_run_with_one_line(project, images):
    result = go_on(project, "--dit-budget=0.001s")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*--dit-budget 0.001s: the control alone took * s, and *"])
    assert images == []

"""``--dit-steps-window`` as a user meets it."""

from __future__ import annotations

import json

import pytest

from harness.results.journal import read
from harness.results.records import Status
from tests.helpers.projects import CASES, LATENCY, SKIP, baseline, listed, records, run


def test_every_case_is_one_in_each_window(project):
    found, _ = listed(project, "--dit-steps-window=0-1,3", "--dit-steps-window=3-3")
    assert found == [
        f"double-L01-03-{strategy}-steps-{window}"
        for strategy in ("skip", "reverse", "parallel.t3")
        for window in ("0-1", "3")
    ]
    assert listed(project, "--dit-steps-window=2", "--dit-plan=double: 0-1 4")[0][0].endswith("-steps-2")


def test_a_window_over_all_steps_is_the_case_without_one(project):
    assert listed(project, "--dit-steps-window=0-3")[0] == listed(project)[0]


def test_k_knows_windows(project):
    for word, count in (("window", 3), ("not window", 0), ("steps-0-1", 3), ("middle and window", 3)):
        assert len(listed(project, "--dit-steps-window=0-1", "-k", word)[0]) == count, word
    assert not listed(project, "-k", "window")[0]


def test_windows_are_ranked_and_journaled(project):
    windows = "--dit-steps-window=0,1-3"
    result = run(project, windows, "-k", "skip")
    result.assert_outcomes(passed=2, deselected=5)
    result.stdout.fnmatch_lines(
        [
            # Two thirds of the 15 blocks' fifth left out, in one of four steps and in three of them.
            "dit: 2 cases: 12 images and 24 of the control, 24 forwards of 6 images, 0.90 of the control's blocks",
            "*1 *- double-L01-03-skip-steps-*",
        ]
    )
    found = records(project)
    assert {case: r.window for case, r in found.items()} == {f"{SKIP}-steps-0": (0, 0), f"{SKIP}-steps-1-3": (1, 3)}
    drift = {case: r.measurement.summary["latent_drift"] for case, r in found.items()}
    assert drift[f"{SKIP}-steps-0"] != drift[f"{SKIP}-steps-1-3"]
    assert len({r.measurement.latents_sha256 for r in found.values()}) == 2
    assert all(r.words == ("middle", "window") for r in found.values())


def test_a_window_is_judged_once_somebody_stores_it(project):
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=4)
    plain = json.loads(baseline(project).read_text())["cases"]
    window = ("--dit-steps-window=0-1", "-k", "skip")
    name = f"{SKIP}-steps-0-1"
    assert run(project, *window).ret == 0
    assert records(project)[name].verdict.status is Status.UNJUDGED
    assert records(project)[name].verdict.notes == ("nobody stored this window of steps",)
    assert json.loads(baseline(project).read_text())["cases"] == plain

    assert run(project, *window, "--dit-baseline-update=missing").ret == 0
    data = json.loads(baseline(project).read_text())
    assert set(data["cases"]) == {*plain, name}
    assert run(project, *window).ret == 0
    assert records(project)[name].verdict.status is Status.OK
    data["cases"][name]["harm"]["value"] -= 0.2
    baseline(project).write_text(json.dumps(data))
    result = run(project, *window)
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*test_ablation?{name}?*", "harm *sd *baseline *limit *"])
    # A run of the file's own cases neither judges it nor complains of it.
    result = run(project)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*no collected case asks for*")


def test_a_window_has_no_latency_of_its_own(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    result = run(project, "--dit-steps-window=0-1", "-k", "skip", "-rs")
    result.assert_outcomes(passed=1, skipped=1, deselected=4)
    result.stdout.fnmatch_lines(["SKIPPED*latency is of one forward; a window of steps has none of its own*"])
    result.stdout.no_fnmatch_line("skipped 1: *")
    assert [r.kind for r in read(project.path / "reports" / "r")] == ["quality"]
    # Without -rs, too, nobody has to guess.
    result = run(project, "--dit-steps-window=0-1", "-k", "skip")
    result.stdout.fnmatch_lines(["skipped 1: latency is of one forward; a window of steps has none of its own*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-steps-window=early"], "--dit-steps-window: window 'early' is no range of denoising steps; write *"),
        (["--dit-steps-window=3-1"], "--dit-steps-window: window '3-1' runs backwards; * 1-3"),
        (["--dit-steps-window=0,2-4"], "window 2-4 goes beyond the 4 denoising steps of checkpoint 'flux-tiny' (0-3)"),
        (["--dit-steps-window=4", "--dit-plan=double: 0-1 4"], "window 4 goes beyond the 4 denoising steps *"),
        (["--dit-range-source=fractions"], "--dit-range-source takes depth, groups, not 'fractions'"),
        (
            ["--dit-range-source=groups"],
            "--dit-range-source=groups: checkpoint 'flux-tiny' has no measured groups "
            "(*flux-tiny?groups.json is not there); "
            "make them with: pytest cases/test_analysis.py --dit-baseline-update=missing",
        ),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_exit_4(project, arguments, message):
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert len([line for line in result.errlines if line.strip()]) == 1

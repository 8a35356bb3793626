"""``--dit-steps-window`` and ``--dit-range-source=groups`` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness.analysis import layer_groups
from harness.analysis.layer_groups import Groups, StackGroups
from harness.results.journal import read
from harness.results.records import Status
from tests.e2e import test_plugin
from tests.e2e.test_plugin import CASES, LATENCY, SKIP, baseline, run

loaded, project = test_plugin.loaded, test_plugin.project


def listed(project, *arguments):
    """Ids of the ablations that are collected, without the checkpoint."""
    result = run(project, "--co", "-q", *arguments)
    found = [line.partition("[flux-tiny-")[2].rstrip("]") for line in result.outlines if "::test_ablation[" in line]
    return found, result


def records(project):
    return {r.case: r for r in read(project.path / "reports" / "r") if r.kind == "quality"}


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
            "*1 *1 double-L01-03-skip-steps-*",
            "by strategy*",
            "*double *middle *skip-steps-*",
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
    assert [r.kind for r in read(project.path / "reports" / "r")] == ["quality"]


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


def store(project, **stacks):
    """Groups of flux-tiny: by stack, its length and where groups begin; none begins where there is no structure."""
    made = {
        name: StackGroups(length, starts or (0,), structure=bool(starts), p=0.01 if starts else 0.7)
        for name, (length, starts) in stacks.items()
    }
    layer_groups.write(project.path / "baselines" / "flux-tiny" / layer_groups.FILE, Groups("flux-tiny", made))


RANGES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit(
    "flux-tiny", Ask(("single",), ("first", "middle", "last", "middle-lower", "middle-upper", "2-3"), ("skip",))
)


def test_ablation(ablation):
    ablation.check(ablation.measure())
"""


def test_measured_groups_replace_the_fractions_when_asked_for(project):
    project.makepyfile(test_mine=RANGES)
    fractions = [f"single-L{place}-skip" for place in ("00-01", "02-03", "02-04", "02-07", "05-07", "08-09")]
    store(project, single=(10, (0, 1, 4, 8)), double=(5, None))
    assert sorted(listed(project)[0]) == sorted(listed(project, "--dit-range-source=depth")[0]) == fractions
    found, _ = listed(project, "--dit-range-source=groups")
    # first is 0, middle everything between the first group and the last: 1-7, in halves 1-4 and 5-7.
    assert sorted(found) == [f"single-L{place}-skip" for place in ("00", "01-04", "01-07", "02-03", "05-07", "08-09")]
    words = {"first": "00", "middle": "01-07", "last": "08-09", "middle-lower": "01-04"}
    for word, place in words.items():
        assert listed(project, "--dit-range-source=groups", "-k", f"{word} and L{place}")[0] == [
            f"single-L{place}-skip"
        ]


def test_the_header_says_that_ranges_are_measured(project):
    store(project, double=(5, (0, 2, 4)))
    result = run(project, "--dit-range-source=groups", "-k", "skip")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["dit: first, middle and last of flux-tiny are measured groups, from baselines?flux-tiny?*"]
    )
    assert set(records(project)) == {"flux-tiny-double-L02-03-skip"}
    run(project, "-k", "skip").stdout.no_fnmatch_line("*measured groups*")


def test_a_stack_without_groups_is_only_missed_where_it_is_asked_for(project):
    store(project, double=(5, (0, 2, 4)), single=(10, None))
    assert listed(project, "--dit-range-source=groups")[0][0].startswith("double-L02-03-")
    assert listed(project, "--dit-range-source=groups", "--dit-stack=single", "--dit-range=2-3,each")[0]
    result = run(project, "--dit-range-source=groups", "--dit-stack=single")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: stack 'single' of flux-tiny has no block structure *"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "*groups.json can't be read: *"), ('{"schema": 9}', "*groups.json have schema 9, *")],
    ids=["broken", "schema"],
)
def test_a_broken_file_of_groups_is_one_line(project, text, message):
    store(project, double=(5, (0, 2, 4)))
    (project.path / "baselines" / "flux-tiny" / layer_groups.FILE).write_text(text)
    result = run(project, "--dit-range-source=groups")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_groups_of_other_blocks_are_refused(project):
    store(project, double=(19, (0, 2, 17)))
    result = run(project, "--dit-range-source=groups")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *cut a stack 'double' of 19 blocks, this one has 5; *"])


def test_two_groups_have_no_middle(project):
    store(project, single=(10, (0, 3)))
    project.makepyfile(test_mine=RANGES)
    assert listed(project, "--dit-range-source=groups")[0] == [f"single-L{p}-skip" for p in ("00-02", "02-03", "03-09")]


def test_collecting_with_both_options_loads_nothing_heavy(project):
    store(project, double=(5, (0, 2, 4)))
    code = (
        "import sys, pytest\n"
        "options = ['--dit-range-source=groups', '--dit-steps-window=0-1']\n"
        "assert pytest.main(['--co', '-q', '-p', 'no:randomly', *options]) == 0\n"
        "print(sorted({'torch', 'diffusers', 'scipy', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr

"""``--dit-baseline-update``: what is stored is held, what moved fails, and nothing is overwritten unasked."""

from __future__ import annotations

import json

import pytest

from tests.helpers.projects import CASES, SKIP, baseline, rewrite, run


def test_update_then_pass_then_a_changed_value_fails(project):
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=4)
    assert run(project).ret == 0
    data = json.loads(baseline(project).read_text())
    data["cases"][SKIP]["harm"]["value"] -= 0.2
    data["facts"]["versions"]["diffusers"] = "0.1.0"
    rewrite(baseline(project), data)
    text = baseline(project).read_text()
    result = run(project)
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_ablation?" + SKIP + "?*",
            'harm *sd *baseline *limit *(+0.05, tolerances.toml "[*]")',
            "latent drift *baseline * ok",
            "changed since the baseline: diffusers 0.1.0 -> *",
            "latents: the variant's are bit-identical to the stored ones and the control's score is the stored one, *",
            "worst prompts, control beside variant in *images?" + SKIP + "-prompts.png:",
            "  #* sd  * on a * background*",
            'accept with: pytest "test_mine.py::test_ablation?' + SKIP + '?" --dit-baseline-update=changed',
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert baseline(project).read_text() == text
    assert run(project, "--dit-baseline-update=missing").ret == 1
    assert run(project, "--dit-baseline-update=changed").ret == 0
    assert run(project).ret == 0


def test_better_than_stored_fails_as_stale(project):
    run(project, "--dit-baseline-update=all")
    data = json.loads(baseline(project).read_text())
    data["cases"][SKIP]["harm"]["value"] += 0.2
    baseline(project).write_text(json.dumps(data))
    result = run(project)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["harm *better than it was: stale, or not applied"])


def test_the_control_line_says_when_the_model_moved_too(project):
    run(project, "--dit-baseline-update=all")
    data = json.loads(baseline(project).read_text())
    data["cases"][SKIP]["harm"]["value"] -= 0.2
    data["facts"]["control_latents"] = "0" * 64
    data["latents"] = {case: ["0" * 12, "0" * 64] for case in data["latents"]}  # of another version, say
    data["control"]["first_score"] += 1
    rewrite(baseline(project), data)
    result = run(project)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["control: moved too (first_score *), so look for a change of the model *"])


def test_a_missing_entry_fails_and_names_the_command(project):
    run(project, "--dit-baseline-update=all", "-k", "reverse or control")
    before = baseline(project).read_text()
    result = run(project)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["harm *no baseline entry", "accept with: *--dit-baseline-update=missing"])
    assert baseline(project).read_text() == before
    assert run(project, "--dit-baseline-update=missing").ret == 0
    after = json.loads(baseline(project).read_text())
    assert set(json.loads(before)["cases"]) < set(after["cases"])


def test_a_part_run_deletes_no_entries(project):
    run(project, "--dit-baseline-update=all")
    before = json.loads(baseline(project).read_text())["cases"]
    run(project, "--dit-baseline-update=all", "-k", "skip")
    assert json.loads(baseline(project).read_text())["cases"] == before


def test_the_unit_of_harm_is_never_estimated_again(project):
    run(project, "--dit-baseline-update=all")
    data = json.loads(baseline(project).read_text())
    data["control"]["seed_sd"] *= 2
    baseline(project).write_text(json.dumps(data))
    run(project, "--dit-baseline-update=all")
    after = json.loads(baseline(project).read_text())
    assert after["control"]["seed_sd"] == pytest.approx(data["control"]["seed_sd"], rel=1e-5)
    assert after["cases"][SKIP]["harm"]["value"] == pytest.approx(data["cases"][SKIP]["harm"]["value"] / 2, rel=1e-3)


def test_an_update_never_mixes_prompts(project):
    run(project, "--dit-baseline-update=all")
    before = baseline(project).read_text()
    (project.path / "prompts.txt").write_text("a large solid red circle on a grey background\n")
    result = run(project, "--dit-baseline-update=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *cpu-float32.json is not updated: *measured with other prompts than*"])
    assert baseline(project).read_text() == before


def test_entries_that_no_case_asks_for_are_named(project):
    run(project, "--dit-baseline-update=all")
    project.makepyfile(test_mine=CASES.replace('"reverse", ', ""))
    run(project).stdout.fnmatch_lines(["baseline of flux-tiny: 1 entries that no collected case asks for: *reverse*"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t[:-40], "*baseline *cpu-float32.json can't be read: *"),
        (lambda _: "not json", "*can't be read: *restore it from git*"),
        (lambda t: t.replace('"flux-tiny",', '"sd3-tiny",'), "*belongs to checkpoint 'sd3-tiny', not 'flux-tiny'*"),
    ],
    ids=["cut", "invalid", "foreign"],
)
@pytest.mark.parametrize("update", [(), ("--dit-baseline-update=all",)], ids=["compare", "update"])
def test_a_broken_baseline_is_one_error_and_never_overwritten(project, damage, message, update):
    run(project, "--dit-baseline-update=all", "-k", "reverse")
    broken = damage(baseline(project).read_text())
    baseline(project).write_text(broken)
    result = run(project, *update)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert baseline(project).read_text() == broken

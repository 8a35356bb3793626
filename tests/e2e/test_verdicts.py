"""Every verdict as a user meets it: did nothing, nondeterminism, insensitive, foreign device; and the noise floor."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from harness.gates import baselines
from harness.gates.baselines import Calibration
from harness.gates.validation.perturbations import choose
from harness.models.arithmetic import arithmetic
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import read
from harness.results.records import Status
from harness.results.serialise import to_plain
from tests.helpers.projects import SKIP, baseline, rewrite, run


@pytest.fixture
def stored(project):
    """A project whose cases have stored values, and a way of editing them."""
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=4)

    def edit(change):
        data = json.loads(baseline(project).read_text())
        change(data)
        baseline(project).write_text(json.dumps(data))

    project.edit = edit
    return project


def status(project, case=SKIP):
    return {r.case: r.verdict.status for r in read(project.path / "reports" / "r")}[case]


def test_a_plan_that_changes_nothing_fails(stored):
    result = run(stored, "--dit-plan=double: 0 (1|1) 2-4", "-k", "ablation")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*did nothing: the latents are bitwise the control's under the plan '0 (1|1) 2-4'*"])
    # And no mode of updating accepts it.
    assert run(stored, "--dit-plan=double: 0 (1|1) 2-4", "-k", "ablation", "--dit-baseline-update=all").ret == 1


def test_other_bits_under_the_same_fingerprint_are_nondeterminism(stored):
    stored.edit(lambda data: data["latents"][SKIP].__setitem__(1, "0" * 64))
    before = baseline(stored).read_text()
    result = run(stored)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*nondeterminism: latents * where the same fingerprint (*) gave 000000000000: *"])
    assert status(stored) is Status.NONDETERMINISM
    assert baseline(stored).read_text() == before
    assert run(stored, "--dit-baseline-update=missing").ret == 1
    assert run(stored, "--dit-baseline-update=changed").ret == 0
    assert run(stored).ret == 0


def test_other_bits_under_another_fingerprint_are_no_matter(stored):
    stored.edit(lambda data: data["latents"].update({SKIP: ["0" * 12, "0" * 64]}))
    assert run(stored).ret == 0
    # Another machine's hash stays that machine's.
    assert run(stored, "--dit-baseline-update=changed").ret == 0
    assert json.loads(baseline(stored).read_text())["latents"][SKIP] == ["0" * 12, "0" * 64]


def test_a_case_that_would_not_see_one_more_skipped_block_is_marked(stored):
    def blind(data):
        for metric in ("harm", "latent_drift"):
            data["cases"][SKIP][metric]["effect"] = 1e-3

    stored.edit(blind)
    result = run(stored)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*double-L01-03-skip *insensitive"])
    stored.edit(lambda data: data["cases"][SKIP]["latent_drift"].update(effect=1.0))
    run(stored)
    assert status(stored) is Status.OK


def test_a_noise_floor_narrows_a_gate_and_never_widens_it(stored):
    here = arithmetic(torch.device("cpu"), "float32")

    def moved(by, tolerance, where=here):
        def change(data):
            versions, digests = {"torch": "2.15.0"}, {"unperturbed": "x", "ulp=1": where}
            calibrated = Calibration(("ulp=1",), 1.5, {"harm": 1.0}, "p", "AVX512", 2, versions, digests)
            data["calibration"] = to_plain(calibrated)
            data["cases"][SKIP]["harm"]["value"] -= by
            data["cases"][SKIP]["harm"]["tolerance"] = tolerance

        return change

    stored.edit(moved(0.01, 0.001))  # inside tolerances.toml's .05, outside the floor
    result = run(stored)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*tolerances: tolerances.toml, narrowed by the noise floors", "harm *limit *(+0.001, noise floor)"]
    )
    result.stdout.fnmatch_lines(["tolerances in force: *noise floor (harm)*"])
    stored.edit(moved(0.2, 100.0))
    result = run(stored)
    assert result.ret == 1
    result.stdout.fnmatch_lines(['harm *limit *(+0.05, tolerances.toml "[*]")'])
    stored.edit(moved(-0.2, 0.001, "another"))  # elsewhere the floor says nothing
    result = run(stored)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*tolerances.toml alone; the noise floors are of other arithmetic (x, here *"])
    assert run(stored, "--dit-baseline-update=changed").ret == 0
    assert baselines.load(baseline(stored), "flux-tiny").cases[SKIP]["harm"].tolerance == 0.001  # and is not lost


def test_a_foreign_device_gates_quality_and_never_bits(stored):
    path = baseline(stored)
    data = json.loads(path.read_text())
    data["device"] = "nvidia-h200"
    data["latents"] = {case: [pair[0], "0" * 64] for case, pair in data["latents"].items()}
    foreign = path.with_name("nvidia-h200-float32.json")
    rewrite(foreign, data)
    path.unlink()
    result = run(stored)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*baseline nvidia-h200-float32.json (another device: latency is not judged)"])
    data["cases"][SKIP]["harm"]["value"] -= 1
    rewrite(foreign, data)
    assert run(stored).ret == 1


def test_a_perturbed_run_is_judged_and_named(stored):
    assert run(stored, "--dit-perturb=batch=2", "--dit-perturb=ulp=1", "--dit-run-id=p").ret == 0
    records = read(stored.path / "reports" / "p")
    assert {r.fingerprint.perturbed for r in records} == {("batch=2", "ulp=1")}
    assert {r.verdict.status for r in records} == {Status.OK}


@pytest.mark.nightly
def test_calibrating_keeps_the_noise_floor_of_every_case(stored):
    before = json.loads(baseline(stored).read_text())
    chosen = [str(p) for p in choose(3, os.cpu_count() or 1, 64, torch.backends.cpu.get_cpu_capability())]
    result = run(stored, "--dit-calibrate=3")
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            f"*calibrating, run 1 of 3: {chosen[0]}",
            f"*calibrating, run 3 of 3: {chosen[2]}",
            "*flux-tiny: harm of 3 cases moves*",
        ]
    )
    made = baselines.load(baseline(stored), "flux-tiny")
    assert list(made.calibration.perturbations) == chosen
    assert set(made.calibration.arithmetic) == {"unperturbed", *chosen}
    assert made.calibration.arithmetic["unperturbed"] == arithmetic(torch.device("cpu"), "float32")
    for case, metrics in made.cases.items():
        for metric in ("harm", "latent_drift"):
            assert metrics[metric].value == before["cases"][case][metric]["value"]
            assert 0 < metrics[metric].tolerance < 0.05
    assert run(stored, "--dit-threads=1").ret == 0


def test_a_run_that_was_stopped_is_not_calibrated(stored):
    """As by SIGTERM, which lets a run end with the ranking of what there is."""
    before = baseline(stored).read_text()
    stored.makeconftest("def pytest_runtest_teardown(item): item.session.shouldstop = 'terminated'\n")
    result = run(stored, "--dit-calibrate=1")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*no noise floors were measured, as the run was stopped"])
    result.stdout.no_fnmatch_line("*calibrating, run 1*")
    assert baseline(stored).read_text() == before


def test_a_regression_is_not_calibrated_away(stored):
    stored.edit(lambda data: data["control"].update(score=data["control"]["score"] + 1))
    before = baseline(stored).read_text()
    result = run(stored, "--dit-calibrate=1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["error: flux-tiny is not calibrated: flux-tiny-control is regression *"])
    assert baseline(stored).read_text() == before
    result = run(stored, "--dit-calibrate=1", "-k", "skip")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["error: flux-tiny is not calibrated: its control did not run*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-perturb=weather=1"], "--dit-perturb: unknown perturbation 'weather=1'; there are threads=*"),
        (["--dit-perturb=threads=0"], "--dit-perturb: perturbation 'threads=0': threads is a number from 1 to 9999"),
        (["--dit-perturb=cpu=avx2"], "--dit-perturb: cpu=avx2 must be set before torch is loaded; *"),
        (["--dit-calibrate=0"], "--dit-calibrate takes a whole number from 1, not '0'"),
        (["--dit-calibrate=2", "--dit-quick"], "--dit-calibrate runs alone: --dit-quick never updates anything"),
        (["--dit-calibrate=2", "--dit-baseline-update=all"], "--dit-calibrate runs alone: --dit-baseline-update *"),
        (["--dit-calibrate=2", "--dit-perturb=batch=2"], "--dit-calibrate runs alone: --dit-perturb is what *"),
    ],
)
def test_wrong_input_is_one_line_and_exit_4(project, arguments, message):
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_prompts_whose_ends_not_every_encoder_reads_are_said(project):
    """Four sentences are 42 CLIP tokens, where CLIP takes 32 and T5, told so, 128."""
    folder = project.path / "longer"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    settings = json.loads((folder / "harness.json").read_text())
    judge = str(BUNDLED / "judge")
    settings |= {"max_sequence_length": 128, "judge": judge, "prompts": "", "world": False}
    (folder / "harness.json").write_text(json.dumps(settings))
    sentence = "A large solid red circle on a grey background."
    (project.path / "prompts.txt").write_text(" ".join([sentence] * 4) + "\n" + sentence + "\n")
    result = run(project, f"--dit-checkpoint={folder}", "--dit-metric=none", "-k", "skip")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["*longer: 1 of 2 prompts are longer than the 32 tokens of text_encoder, which reads their beginnings"]
    )

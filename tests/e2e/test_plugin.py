"""The plugin as its users meet it: cases run, are ranked and judged; every wrong input is one clear line."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch

import pytest

from harness.ablation.plan import parse
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.results.journal import read
from harness.results.records import Status
from harness.surgery.view import BlockView

CASES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip", "reverse", "parallel.t3")))


def test_ablation(ablation):
    ablation.check(ablation.measure())
"""
LATENCY = """

def test_latency(ablation, benchmark):
    ablation.time(benchmark)
"""
CONTROL = """

def test_control(control):
    control.check()
"""
SKIP = "flux-tiny-double-L01-03-skip"
TOLERANCES = """
[[tolerance]]
pattern = "*"
metric = "harm"
absolute = 0.05

[[tolerance]]
pattern = "flux-*"
metric = "latent_drift"
absolute = 0.02

[[tolerance]]
pattern = "*-control"
metric = "score"
absolute = 0.05
"""


@pytest.fixture(scope="module", autouse=True)
def loaded():
    """pytester forgets what its in-process runs import, and torch can be imported once: so everything is, here."""
    import harness.lab.latency
    import harness.plugin.session
    import harness.report
    import harness.report.ranking_terminal

    lab = Lab(resolve("flux-tiny"), prompts=(BUNDLED / "prompts.txt").read_text().splitlines()[:2])
    lab.run(parse("0 4"), "double")
    assert harness.plugin.session
    assert harness.lab.latency
    assert harness.report.ranking_terminal


@pytest.fixture
def project(pytester):
    """A folder of somebody's own: one case file, a few prompts, tolerances, no baseline yet."""
    pytester.makepyfile(test_mine=CASES + CONTROL)
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:6]
    (pytester.path / "prompts.txt").write_text("\n".join(prompts) + "\n")
    (pytester.path / "baselines").mkdir()
    (pytester.path / "baselines" / "tolerances.toml").write_text(TOLERANCES)
    return pytester


def run(project, *arguments):
    return project.runpytest_inprocess(
        "-p", "no:randomly", "-p", "no:cacheprovider", "--dit-prompts=prompts.txt", "--dit-run-id=r", *arguments
    )


def baseline(project):
    return project.path / "baselines" / "flux-tiny" / "cpu-float32.json"


def test_cases_are_ranked_and_journaled(project):
    result = run(project)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "dit: cpu (*threads); torch *, diffusers *, transformers *",
            "dit: flux-tiny (5 double, 10 single blocks, 4 steps, float32); no baseline for cpu-float32: *",
            "dit: 3 cases: 18 images and 24 of the control, 28 forwards of 6 images, 1.07 of the control's blocks",
            "least harmful variant: flux-tiny (6 prompts)*",
            "*#*tier*variant*harm [[]sd]*speed-up*CLIP*drift*gate*",
            "*1 *1 double-L01-03-*unjudged*",
            "by strategy*",
            "wrote reports?r?ranking.md",
            "wrote reports?r?ranking.csv",
            "wrote reports?r?ranking.json",
            "wrote reports?r?contact-flux-tiny.png",
        ]
    )
    assert result.outlines[-1].startswith("=") or "passed" in result.outlines[-1]
    records = read(project.path / "reports" / "r")
    assert sorted(r.kind for r in records) == ["control", "quality", "quality", "quality"]
    assert all(len(r.measurement.values["harm"]) == 6 for r in records if r.kind == "quality")
    ranking = json.loads((project.path / "reports" / "r" / "ranking.json").read_text())
    assert len(ranking[0]["rows"]) == 3
    assert not baseline(project).exists()


def test_the_journal_ranks_the_same_without_torch(project):
    run(project)
    folder = project.path / "reports" / "r"
    before = {path.name: path.read_bytes() for path in folder.glob("ranking.*")}
    for name in before:
        (folder / name).unlink()
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in {'torch', 'diffusers', 'transformers', 'open_clip'}:\n"
        "            raise ImportError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from harness.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "least harmful variant: flux-tiny" in done.stdout
    assert {path.name: path.read_bytes() for path in folder.glob("ranking.*")} == before


def test_update_then_pass_then_a_changed_value_fails(project):
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=4)
    assert run(project).ret == 0
    data = json.loads(baseline(project).read_text())
    data["cases"][SKIP]["harm"]["value"] -= 0.2
    data["facts"]["versions"]["diffusers"] = "0.1.0"
    text = json.dumps(data)
    baseline(project).write_text(text)
    result = run(project)
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_ablation?" + SKIP + "?*",
            'harm *sd *baseline *limit *(+0.05, tolerances.toml "[*]")',
            "latent drift *baseline * ok",
            "changed since the baseline: diffusers 0.1.0 -> *",
            "control: bit-identical, so the variant changed and not the model",
            "worst prompts: #*images?" + SKIP + ".png",
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
    data["control"]["score"] += 1
    baseline(project).write_text(json.dumps(data))
    result = run(project)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["control: moved too (score *), so look for a change of the model *"])


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


def test_other_prompts_are_not_compared(project):
    run(project, "--dit-baseline-update=all")
    (project.path / "prompts.txt").write_text("a large solid red circle on a grey background\n" * 1)
    result = run(project)
    result.assert_outcomes(passed=4)
    assert {r.verdict.status for r in read(project.path / "reports" / "r")} == {Status.UNJUDGED}


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-checkpoint=flux-tinny"], "*checkpoint 'flux-tinny' is neither a bundled checkpoint nor a folder*"),
        (["--dit-strategy=skp"], "*unknown strategy 'skp'; there are skip, *"),
        (["--dit-stack=tripel"], "*has no stack 'tripel'; it has double (5 blocks), single (10 blocks)*"),
        (["--dit-range=centre"], "*unknown range 'centre'*"),
        (["--dit-stack=double", "--dit-range=3-9"], "*range '3-9' for stack 'double' doesn't fit its 5 blocks (0-4)*"),
        (["--dit-range=2", "--dit-strategy=reverse"], "*'reverse' changes nothing on range 2, which has one block*"),
        (["--dit-plan=double: 0-7"], "*plan '0-7' over stack 'double' of 5 blocks (0-4): block 7 is out of range*"),
        (["--dit-plan=double: 0 (1|2"], "*a '(' that is never closed at column 3*"),
        (["--dit-plan=0-3"], "*names no stack*"),
        (["--dit-baseline-update=some"], "*takes missing, changed, all, not 'some'*"),
        (["--dit-quick", "--dit-baseline-update=all"], "*--dit-quick never updates anything*"),
        (["--dit-run-id=../x"], "*--dit-run-id '../x'*"),
        (["--dit-rounds=two"], "*--dit-rounds takes a whole number from 4, not 'two'*"),
        (["--dit-device=gpu"], "*device 'gpu' can't be used here*"),
        (["--dit-prompts=none.txt"], "*can't read the prompt file *none.txt*"),
        (["--dit-prompts=empty.txt"], "*empty.txt holds no prompt*"),
        (["--dit-prompts=latin.txt"], "*latin.txt is not UTF-8 (byte 1)*"),
        (["--dit-prompts=twice.txt"], "*has a prompt twice*"),
        (["--dit-prompts=long.txt"], "*prompt 1 has * tokens, text_encoder_2 takes 20*"),
        (["--dit-reports=file"], "*can't write the journal *: *"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_exit_4(project, arguments, message):
    (project.path / "empty.txt").write_text("# nothing\n\n")
    (project.path / "latin.txt").write_bytes("für\n".encode("latin-1"))
    (project.path / "twice.txt").write_text("a\na\n")
    (project.path / "long.txt").write_text("red " * 40 + "\n")
    (project.path / "file").write_text("")
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    text = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in text
    assert len([line for line in result.errlines if line.strip()]) == 1


def _copy(project):
    folder = project.path / "mine"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    shutil.copytree(BUNDLED / "judge", project.path / "judge")
    return folder


def _foreign(folder):
    path = folder / "model_index.json"
    path.write_text(path.read_text().replace("FluxPipeline", "StableDiffusionPipeline"))


def _cut(folder):
    path = next((folder / "transformer").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:5000])


def _no_weights(folder):
    next((folder / "transformer").glob("*.safetensors")).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_foreign, "*is a StableDiffusionPipeline with FluxTransformer2DModel; known are FluxPipeline with *"),
        (lambda f: shutil.rmtree(f / "transformer"), "*has no transformer*"),
        (_no_weights, "*has no transformer weights*"),
        (_cut, "*diffusion_pytorch_model.safetensors is damaged*"),
        (lambda f: (f / "model_index.json").unlink(), "*is no diffusers pipeline folder*"),
        (lambda f: (f / "model_index.json").write_text("{"), "*is not valid JSON*"),
        (lambda f: (f / "harness.json").write_text('{"step": 4}'), "*unknown setting 'step'*"),
        (lambda f: (f / "harness.json").write_text('{"steps": "4"}'), "*steps must be a int, not '4'*"),
    ],
    ids=["class", "no folder", "no weights", "cut", "no index", "no json", "unknown setting", "wrong setting"],
)
def test_a_broken_checkpoint_folder_is_named(project, damage, message):
    damage(_copy(project))
    result = run(project, "--dit-checkpoint=mine")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_folder_is_a_checkpoint(project):
    _copy(project)
    result = run(project, "--dit-checkpoint=mine", "-k", "skip")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["*least harmful variant: mine*"])


def test_a_folder_after_a_space_is_refused(project):
    _copy(project)
    result = project.runpytest_subprocess("--dit-checkpoint", "mine", "test_mine.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*write --dit-checkpoint=mine with '='*"])


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


def test_latency_is_timed_in_pairs(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    result = run(project, "-k", "skip", "--dit-rounds=6", "--benchmark-json=bench.json")
    result.assert_outcomes(passed=2, deselected=4)
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind == "latency")
    assert len(record.latency.control) == len(record.latency.variant) == 6
    assert record.latency.low <= record.latency.ratio <= record.latency.high
    assert record.latency.theory > 1
    data = json.loads((project.path / "bench.json").read_text())
    (bench,) = data["benchmarks"]
    assert bench["extra_info"]["case"] == SKIP
    assert len(bench["extra_info"]["control_seconds"]) == 6
    assert bench["param"] == SKIP
    done = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", "bench.json"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert "test_latency" in done.stdout


def test_disabled_benchmarks_are_not_measured(project):
    project.makepyfile(test_mine=CASES + LATENCY)
    run(project, "-k", "skip", "--benchmark-disable").assert_outcomes(passed=2, deselected=4)
    (record,) = (r for r in read(project.path / "reports" / "r") if r.kind == "latency")
    assert record.latency is None
    assert record.verdict.notes == ("not measured: benchmarks are disabled",)


def test_under_xdist_the_controller_writes_the_journal(project):
    pytest.importorskip("xdist")
    result = project.runpytest_subprocess("-n2", "--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*least harmful variant: flux-tiny*", "wrote reports?r?contact-flux-tiny.png"])
    assert len(read(project.path / "reports" / "r")) == 4


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--dit-strategy=skp", "*unknown strategy 'skp'*"),
        ("--dit-prompts=none.txt", "*can't read the prompt file *none.txt*"),
    ],
    ids=["collecting", "opening"],
)
def test_wrong_input_under_xdist_is_no_internal_error(project, argument, message):
    pytest.importorskip("xdist")
    result = project.runpytest_subprocess("-n1", "--dit-run-id=r", "-p", "no:randomly", argument, "-k", "skip or dit")
    assert result.ret in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR)
    text = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in text
    assert "Traceback" not in text
    assert any(fnmatch(line, message) for line in text.splitlines())


def test_an_ablation_that_did_not_take_hold_fails_plainly(project, monkeypatch):
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    result = run(project, "-k", "skip")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(["*the ablation did not take hold as written*"])
    assert "Traceback" not in result.stdout.str()
    assert "surgery.py" not in result.stdout.str()


def test_collecting_loads_nothing_heavy(project):
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['--co', '-q', '-p', 'no:randomly'])\n"
        "print(sorted({'torch', 'diffusers', 'scipy', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_can_be_disabled_and_leaves_other_tests_alone(project):
    project.makepyfile(test_mine="def test_nothing():\n    pass\n")
    for arguments in ((), ("-p", "no:harness.plugin")):
        result = project.runpytest_subprocess(*arguments)
        result.assert_outcomes(passed=1)
        assert "dit" not in result.stdout.str().replace("pytest_dit", "").replace("dit-ablation", "")
    assert not (project.path / "reports").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX")
def test_a_terminated_run_still_ranks_what_there_is(project):
    project.makepyfile(test_mine=CASES + "\n\ndef test_stop(control):\n    import time\n    time.sleep(60)\n")
    project.makepyfile(test_mine=CASES + "\n    import time\n    time.sleep(60 * ('reverse' in ablation.case.id))\n")
    command = [sys.executable, "-m", "pytest", "--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly"]
    process = subprocess.Popen(command, cwd=project.path, stdout=subprocess.PIPE, text=True)
    journal = project.path / "reports" / "r" / "shard-1-of-1.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and "\n" in journal.read_text()):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "least harmful variant: flux-tiny" in out
    assert (project.path / "reports" / "r" / "ranking.json").exists()


def test_marks_are_checked(project):
    project.makepyfile(test_mine="def test_a(ablation):\n    pass\n")
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*needs a mark that names its checkpoint*"])


def test_bad_marks_are_named(project):
    project.makepyfile(
        test_mine="import pytest\n@pytest.mark.dit('flux-tiny', 'skip')\ndef test_a(ablation):\n    pass\n"
    )
    result = run(project)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*takes a checkpoint's name and then Asks*"])

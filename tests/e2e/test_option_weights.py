"""Cases over random weights, as somebody meets them: run without a download, ranked by speed, judged by nobody."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from harness import __main__
from harness.models import memory
from harness.models.checkpoints.resolve import BUNDLED, bundled_names
from harness.models.memory import Room
from harness.models.random_weights.checkpoint import NO_QUALITY
from harness.report.ranking_page import markdown
from harness.report.ranking_terminal import render as table
from harness.results.figure import RankedBy
from harness.results.journal import read
from harness.results.ranking import rank
from harness.results.records import Status
from harness.surgery.view import BlockView
from tests.benchmarks import bench_overhead
from tests.helpers.projects import forget

CASES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip", "reverse", "parallel.t3")))


def test_ablation(ablation):
    ablation.check(ablation.measure())


def test_latency(ablation, benchmark):
    ablation.time(benchmark)
"""
ID = "flux-tiny-random-small-double-L01-03"


@pytest.fixture
def project(pytester, loaded):
    pytester.makepyfile(test_mine=CASES)
    return pytester


def run(project, *given, weights="random:small"):
    forget(project)
    options = ("-p", "no:randomly", "-p", "no:cacheprovider", "--dit-run-id=r", "--dit-rounds=4")
    return project.runpytest_inprocess(*options, *([f"--dit-weights={weights}"] if weights else []), *given)


def test_cases_are_ranked_by_speed_and_say_so(project):
    result = run(project)
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(
        [
            "dit: flux-tiny-random-small (5 double, 10 single blocks): reduced size, 40 x 40 px, batch 8, float32; "
            "random weights: surgery, latency and memory, no quality",
            "fastest variant, by speed-up (no quality measured): flux-tiny-random-small*",
            "*#*variant*speed-up*output drift*surgery*gate*",
            "wrote reports?r?ranking.md",
        ]
    )
    text = result.stdout.str()
    assert not any(word in text for word in ("harm", "CLIP", "tier", "checker", "FID", "contact-", "memory  "))
    records = read(project.path / "reports" / "r")
    quality = [r for r in records if r.kind == "quality"]
    assert {r.case for r in records} == {f"{ID}-{s}" for s in ("skip", "reverse", "parallel.t3")}
    for record in quality:
        assert record.verdict.status is Status.UNJUDGED
        assert record.verdict.notes == (NO_QUALITY,)
        assert set(record.measurement.values) == {"output_drift"}
        assert set(record.measurement.summary) == {"output_drift", "same_as_listed"}
        assert record.fingerprint.weights.startswith("random-")
        assert record.fingerprint.judge == record.fingerprint.prompts == ""
    assert not (project.path / "reports" / "r" / "images").exists()
    assert not (project.path / "baselines").exists()


def test_the_journal_alone_gives_the_same_report(project, capsys):
    run(project, "-k", "skip or reverse")
    folder = project.path / "reports" / "r"
    made = {p.name: p.read_bytes() for p in folder.glob("ranking.*")}
    assert __main__.main(["report", str(folder)]) == 0
    assert "fastest variant, by speed-up (no quality measured): flux-tiny-random-small" in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in folder.glob("ranking.*")} == made
    head = (folder / "ranking.csv").read_text().splitlines()[0].split(",")
    assert {"speed_up", "output_drift", "same_as_listed"} <= set(head)
    assert not {"harm", "tier", "collapsed", "pareto", "clip_delta"} & set(head)
    text = (folder / "ranking.md").read_text()
    assert "\n# Fastest variant\n" in text
    assert "variants, ranked by speed-up; cpu" in text
    assert "Harm" not in text


def test_without_latency_nothing_is_ranked(project):
    result = run(project, "-k", "test_ablation")
    result.assert_outcomes(passed=3, deselected=3)
    result.stdout.fnmatch_lines(["not ranked (no latency measured): flux-tiny-random-small*"])
    assert "speed-up" not in result.stdout.str()
    text = (project.path / "reports" / "r" / "ranking.md").read_text()
    assert "\n# Variants, not ranked\n" in text
    assert "3 variants, not ranked, as no latency was measured; cpu" in text


def test_latency_alone_is_ranked(project):
    run(project, "-k", "test_latency").assert_outcomes(passed=3, deselected=3)
    (ranking,) = rank(read(project.path / "reports" / "r"))
    assert ranking.by is RankedBy.SPEED
    assert len(ranking.rows) == 3
    ratios = [row.latency.ratio for row in ranking.rows]
    assert ratios == sorted(ratios, reverse=True)


def test_a_table_with_memory_shows_it(project):
    run(project)
    records = [
        dataclasses.replace(r, latency=dataclasses.replace(r.latency, peak_bytes=101, control_peak_bytes=100))
        if r.latency
        else r
        for r in read(project.path / "reports" / "r")
    ]
    assert "+1.0 %" in table(records, 200, colour=False)
    assert "| memory |" in markdown(records, rank(records))


def test_real_names_need_no_download(project, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(project.path / "empty"))
    result = run(project, "--dit-checkpoint=FLUX.1-schnell", "--co", "-q")
    result.stdout.fnmatch_lines(["*test_ablation?flux.1-schnell-random-small-double-L04-14-skip?"])
    result = run(project, "--dit-checkpoint=black-forest-labs/FLUX.1-dev", "--dit-strategy=skip", "-k", "test_ablation")
    result.assert_outcomes(passed=2, deselected=2)


def test_a_folder_needs_only_the_transformers_config(project):
    (project.path / "mine").mkdir()
    (project.path / "mine" / "harness.json").write_text('{"height": 64, "width": 64}')
    own = project.path / "mine" / "transformer"
    own.mkdir()
    shutil.copy(BUNDLED / "flux-tiny" / "transformer" / "config.json", own)
    result = run(project, "--dit-checkpoint=mine", "-k", "test_ablation and skip", weights="random")
    result.assert_outcomes(passed=1, deselected=5)
    result.stdout.fnmatch_lines(["dit: mine-random (5 double, 10 single blocks): full size, 64 x 64 px, *"])


def test_the_control_cases_skip_what_needs_images(project):
    shutil.copy(Path(__file__).parents[2] / "cases" / "test_control.py", project.path / "test_own_control.py")
    names = len(bundled_names())
    result = run(project, "test_own_control.py", "-rs")
    result.assert_outcomes(passed=2 * names, skipped=3 * names)
    result.stdout.fnmatch_lines([f"SKIPPED*{NO_QUALITY}"])
    controls = [r for r in read(project.path / "reports" / "r") if r.kind == "control"]
    assert len(controls) == names
    assert all(r.verdict.notes == (NO_QUALITY,) and r.measurement.summary["output_rms"] > 0 for r in controls)


def test_plans_by_hand_are_measured_too(project):
    result = run(project, "--dit-plan=double: 0-1 (2|3)x2 4", "-k", "test_ablation")
    result.assert_outcomes(passed=1)
    (record,) = read(project.path / "reports" / "r")
    assert record.verdict.notes == (NO_QUALITY,)


def test_an_ablation_that_did_not_take_hold_fails_plainly(project, monkeypatch):
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    result = run(project, "-k", "skip and test_ablation")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(["*the ablation did not take hold as written*"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--dit-weights=rand"], "*--dit-weights takes random or random:small, not 'rand'*"),
        (
            ["--dit-weights=random", "--dit-baseline-update=all"],
            "*so there is nothing to store; leave out *",
        ),
        (
            ["--dit-weights=random", "--dit-prompts=p.txt"],
            "*so no prompts are used; leave out --dit-prompts*",
        ),
        (["--dit-weights=random", "--dit-judge=x"], "*so nothing is judged; leave out --dit-judge*"),
        (["--dit-weights=random", "--dit-lora=x"], "*a LoRA on random weights means nothing; leave out --dit-lora*"),
        (["--dit-weights=random", "--dit-offload=model"], "*made on the device; leave out --dit-offload*"),
        (["--dit-weights=random", "--dit-metric=lpips"], "*so nothing is measured on them; leave out --dit-metric*"),
        (["--dit-weights=random", "--dit-images=x"], "*so nothing is measured on them; leave out --dit-images*"),
        (["--dit-weights=random", "--dit-seeds=2"], "*so there are no seeds; leave out --dit-seeds*"),
        (["--dit-weights=random", "--dit-steps-window=0"], "*no denoising steps to *leave out --dit-steps-window*"),
        (
            ["--dit-weights=random", "--dit-range-source=groups"],
            "*so no groups are measured; leave out --dit-range-source*",
        ),
        (["--dit-weights=random", "--dit-checkpoint=flux-mini"], "*'flux-mini' is neither a bundled checkpoint nor *"),
        (["--dit-weights=random", "--dit-checkpoint=none"], "*none has neither a pipeline nor a transformer: *"),
        (["--dit-weights=random", "--dit-checkpoint=other"], "*config.json is of a Unet; known are FluxTransformer2D*"),
        (
            ["--dit-weights=random", "--dit-checkpoint=FLUX.1-schnell"],
            "*11.89 billion parameters x 2 bytes *",
        ),
    ],
    ids=[
        "kind",
        "update",
        "prompts",
        "judge",
        "lora",
        "offload",
        "metric",
        "images",
        "seeds",
        "window",
        "groups",
        "unknown",
        "empty folder",
        "other class",
        "memory",
    ],
)
def test_wrong_input_is_one_line_and_exit_4(project, monkeypatch, given, message):
    monkeypatch.setattr(memory, "room", lambda device: Room(str(device), int(1e9), int(1e9)))
    (project.path / "none").mkdir()
    (project.path / "other" / "transformer").mkdir(parents=True)
    (project.path / "other" / "transformer" / "config.json").write_text('{"_class_name": "Unet"}')
    result = run(project, *given, weights="")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert len([line for line in result.errlines if line.strip()]) == 1


def test_the_overhead_table_can_be_made(capsys):
    bench_overhead.main(["flux-tiny", "--rounds=4", "--device=cpu"])
    head, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert head.split(" | ")[3:6] == ["what runs", "time against bare", "theory"]
    found = {row.split(" | ")[3]: float(row.split(" | ")[5]) for row in rows if "---" not in row}
    assert found == {
        "every block behind a slot": 1.0,
        "reverse double 1-3": 1.0,
        "reverse single 2-7": 1.0,
        "skip double 1-3": 0.8,
        "skip single 2-7": 0.6,
    }

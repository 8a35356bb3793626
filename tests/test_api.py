"""The library: the example in the docs runs, and a sweep gives what the plugin would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import harness
from harness import Lab, load, rank, sweep
from harness.ablation.plan import parse
from harness.errors import CaseError, CheckpointError, JournalError, PlanError
from harness.models.checkpoints.resolve import resolve
from harness.results.journal import read
from harness.results.records import Record, Status, from_json

DOCS = Path(harness.__file__).parent.parent / "docs"
PROMPTS = (
    "a large solid red circle left of a small striped blue square on a grey background",
    "a large striped green square below a small solid red cross on a black background",
    "a small solid cyan cross below a large striped yellow cross on a black background",
)


@pytest.fixture(scope="module")
def lab():
    return Lab("flux-tiny", prompts=PROMPTS)


def example():
    found = re.search(r"```python\n(from harness import .*?)```", (DOCS / "library.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_in_the_docs_runs(tmp_path):
    lines = [line for line in example().splitlines() if line.strip()]
    assert len(lines) <= 15
    done = subprocess.run(
        [sys.executable, "-c", example()], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"without block 2: harm -?\d+\.\d\d sd, \(2, 3, 40, 40\) images", done.stdout)
    assert "least harmful variant: flux-tiny (2 prompts)" in done.stdout
    assert "double-L01-03-skip" in done.stdout
    assert [r.strategy for r in read(tmp_path / "reports" / "mine")] == ["skip", "shuffle.s0"]
    assert {path.name for path in (tmp_path / "reports" / "mine" / "images").iterdir()} == {
        "flux-tiny-control.png",
        "flux-tiny-double-L01-03-skip.png",
        "flux-tiny-double-L01-03-shuffle.s0.png",
    }


def test_importing_the_package_is_light():
    code = (
        "import sys, harness\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'open_clip', 'numpy', 'pandas', 'scipy', 'pytest'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(set(harness.__all__) - set(dir(harness))))\n"
        "harness.rank([])\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[] []", "False", ""]


def test_the_public_names_are_what_they_say():
    from harness import ablate
    from harness.surgery.view import ablate as own

    assert ablate is own
    assert set(harness.__all__) == {"Lab", "ablate", "load", "rank", "sweep"}
    for name in harness.__all__:
        assert len(getattr(harness, name).__doc__) > 80, name
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'sweeep'"):
        _ = harness.sweeep


def test_a_plan_may_be_its_text(lab):
    by_text, _ = lab.run("double: 0-1 3-4")
    by_plan, _ = lab.run(parse("0-1 3-4"), "double")
    assert by_text == by_plan == lab.run("0-1 3-4", "double")[0]


@pytest.mark.parametrize(
    ("plan", "stack", "error", "message"),
    [
        ("0-1 3-4", None, CaseError, "plan '0-1 3-4' names no stack; write it like 'double: 0-1 3-4'"),
        ("double: 0", "single", PlanError, "the plan names stack 'double', the call 'single'"),
        ("joint: 0", None, CaseError, r"'flux-tiny' has no stack 'joint'; it has double \(5 blocks\)"),
        ("double: 0-5", None, PlanError, "block 5 is out of range"),
        (parse("0-12"), "single", PlanError, "block 10 is out of range"),
    ],
)
def test_a_plan_that_does_not_fit_is_named(lab, plan, stack, error, message):
    with pytest.raises(error, match=message):
        lab.run(plan, stack)


def test_a_sweep_is_journaled_and_ranked(lab, tmp_path):
    grid = {"stacks": "single", "ranges": ("4", "2-7"), "strategies": "skip"}
    run = sweep(lab, **grid, plans="double: 0 2 1 3-4", folder=tmp_path)
    first = next(run)
    assert isinstance(first, Record)
    assert first.strategy.startswith("plan-")
    assert len(read(tmp_path)) == 1  # kept before the next one is measured
    records = [first, *run]
    assert [r.plan for r in records] == ["0 2 1 3 4", "0-3 5-9", "0 1 8 9"]
    assert read(tmp_path) == records
    assert [from_json(r.to_json()) for r in records] == records
    assert {r.verdict.status for r in records} == {Status.UNJUDGED}
    assert records[1].case == "flux-tiny-single-L04-skip"
    assert records[1].measurement == lab.run("single: 0-3 5-9")[0]
    ranked = rank(records)
    assert [row.rank for row in ranked[0].rows] == [1, 2, 3]
    assert rank(read(tmp_path)) == ranked
    text = str(ranked)
    assert "least harmful variant: flux-tiny (3 prompts)" in text
    assert "\x1b" not in text
    assert str(rank([])) == ""


def test_what_is_wrong_is_said_before_anything_runs(lab, tmp_path):
    with pytest.raises(CaseError, match="unknown strategy 'skp'; there are skip, "):
        sweep(lab, strategies="skp")
    with pytest.raises(CaseError, match="'swap' changes nothing on range 4"):
        sweep(lab, ranges="4", strategies="swap")
    with pytest.raises(CaseError, match="unknown range 'centre'"):
        sweep(lab, ranges="centre")
    with pytest.raises(CaseError, match="has no stack 'joint'"):
        sweep(lab, stacks="joint")
    with pytest.raises(CaseError, match="names no stack"):
        sweep(lab, plans=["0-3"])
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="can't write the journal"):
        sweep(lab, folder=tmp_path / "file")
    with pytest.raises(CheckpointError, match="checkpoint 'flux-tinny'"):
        Lab("flux-tinny")
    with pytest.raises(CheckpointError, match="checkpoint 'flux-tinny'"):
        load("flux-tinny")
    with pytest.raises(CheckpointError, match="device 'gpu' can't be used here"):
        load("flux-tiny", device="gpu")
    with pytest.raises(CheckpointError, match="unknown dtype 'int8'"):
        load("flux-tiny", dtype="int8")


def test_loading_takes_names_and_folders():
    folder = resolve("flux-tiny").folder
    by_name, by_folder = load("flux-tiny"), load(Path(os.path.relpath(folder)), dtype="bfloat16")
    assert type(by_name).__name__ == type(by_folder).__name__ == "FluxPipeline"
    assert not by_name.transformer.training
    assert (str(by_name.transformer.dtype), str(by_folder.transformer.dtype)) == ("torch.float32", "torch.bfloat16")

"""The library: the example in the docs runs, and a sweep gives what the plugin would."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness import Lab, Record, Status, ablate, findings, load, load_run, rank, read_journal, sweep
from harness.ablation.plan import parse
from harness.errors import CaseError, CheckpointError, JournalError, PlanError
from harness.gates.baselines import load as load_baseline
from harness.gates.baselines import save as save_baseline
from harness.gates.update import UpdateMode, update_cases
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.results.journal import FILE, write_journal
from harness.results.records import from_json
from tests.helpers import hubs
from tests.helpers.records import quality

PROMPTS = (
    "a large solid red circle left of a small striped blue square on a grey background",
    "a large striped green square below a small solid red cross on a black background",
    "a small solid cyan cross below a large striped yellow cross on a black background",
)


def test_an_unknown_name_is_an_error():
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
    assert len(read_journal(tmp_path)) == 1  # kept before the next one is measured
    records = [first, *run]
    assert [r.plan for r in records] == ["0 2 1 3 4", "0-3 5-9", "0 1 8 9"]
    assert read_journal(tmp_path) == records
    assert [from_json(r.to_json()) for r in records] == records
    assert {r.verdict.status for r in records} == {Status.UNJUDGED}
    assert records[1].case == "flux-tiny-single-L04-skip"
    assert records[1].measurement == lab.run("single: 0-3 5-9")[0]
    ranked = rank(records)
    assert [row.rank for row in ranked[0].rows] == [1, 2, 3]
    assert rank(read_journal(tmp_path)) == ranked
    text = str(ranked)
    assert f"least harmful variant: flux-tiny ({len(lab.prompts)} prompts)" in text
    assert "\x1b" not in text
    assert str(rank([])) == ""


def test_a_sweep_is_judged_by_stored_values(lab, tmp_path):
    (record,) = sweep(lab, strategies="skip", ranges="1", stacks="double", folder=tmp_path / "run")
    assert record.verdict.status is Status.UNJUDGED
    update_cases(tmp_path, [record], UpdateMode.ALL)
    (again,) = sweep(lab, strategies="skip", ranges="1", stacks="double", baselines=tmp_path)
    assert again.verdict.status is Status.OK
    assert {check.metric for check in again.verdict.checks} == {"harm", "latent_drift", "collapsed", "clip_delta"}
    path = tmp_path / lab.checkpoint.name / f"{lab.fingerprint.device}-{lab.fingerprint.dtype}.json"
    stored = load_baseline(path, lab.checkpoint.name)
    stored.cases[record.case]["harm"] = replace(stored.cases[record.case]["harm"], value=-5.0)
    save_baseline(stored)
    (red,) = sweep(lab, strategies="skip", ranges="1", stacks="double", baselines=tmp_path)
    assert red.verdict.status is Status.REGRESSION


def test_what_is_wrong_is_said_before_anything_runs(lab, tmp_path):
    with pytest.raises(CaseError, match=r"unknown strategy 'skp' \(did you mean 'skip'\?\); there are skip, "):
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


def test_the_library_sweeps_windows(lab):
    records = list(sweep(lab, strategies="skip", stacks="double", windows="0-1,2-3"))
    assert [(r.case, r.window) for r in records] == [
        ("flux-tiny-double-L01-03-skip-steps-0-1", (0, 1)),
        ("flux-tiny-double-L01-03-skip-steps-2-3", (2, 3)),
    ]
    with pytest.raises(CaseError, match="goes beyond the 4 denoising steps"):
        sweep(lab, strategies="skip", windows="4")


def test_a_sweep_may_time_each_case(lab, tmp_path):
    run = sweep(lab, strategies="skip", stacks="single", ranges="2-7,1", latency=True, folder=tmp_path)
    records = [next(run)]
    assert read_journal(tmp_path) == records  # its images first, and its times after them
    records += run
    kinds = [(r.kind, r.place) for r in records]
    assert kinds == [(kind, place) for place in ("L01", "L02-07") for kind in ("quality", "latency")]
    assert read_journal(tmp_path) == records
    assert {len(r.latency.variant) for r in records if r.kind == "latency"} == {12}
    assert {r.verdict.notes for r in records} == {("measured without stored values",)}
    assert all(row.latency is not None for row in rank(records)[0].rows)
    (_, timed) = sweep(lab, strategies="skip", stacks="single", ranges="1", latency=True, baselines=tmp_path)
    assert timed.verdict.status is Status.UNJUDGED
    assert timed.verdict.notes == (f"there is no {lab.fingerprint.device}-float32.json for this checkpoint",)


def test_a_window_of_steps_is_not_timed(lab):
    records = list(sweep(lab, strategies="skip", stacks="double", windows="1", latency=True))
    assert [(r.kind, r.window) for r in records] == [("quality", (1, 1))]


def test_a_model_with_random_weights_is_swept_and_ranked_by_speed(random_labs):
    for lab in random_labs.values():
        stack, length = next(iter(lab.checkpoint.stacks.items()))
        records = list(sweep(lab, plans=f"{stack}: 0-{length - 2}", latency=True))
        assert [r.kind for r in records] == ["quality", "latency"]
        (ranking,) = rank(records)
        assert ranking.rows[0].value("speed_up") == records[1].latency.ratio


def test_a_sweep_takes_a_checkpoints_name(monkeypatch):
    opened = []

    class FewPrompts(Lab):
        def __init__(self, checkpoint):
            opened.append(checkpoint.name)
            super().__init__(checkpoint, prompts=PROMPTS[:2])

    monkeypatch.setattr("harness.lab.lab.Lab", FewPrompts)
    (record,) = sweep("flux-tiny", strategies="skip", stacks="double", ranges="2")
    assert (record.case, record.measurement.prompts) == ("flux-tiny-double-L02-skip", 2)
    (record,) = sweep(resolve("flux-tiny").folder, plans="double: 0-1 3-4")
    assert record.plan == "0 1 3 4"
    with pytest.raises(CaseError, match="unknown strategy 'skp'"):
        sweep("flux-tiny", strategies="skp")
    assert opened == ["flux-tiny", "flux-tiny"]  # a mistake is said before a model is loaded


def test_a_sweep_of_something_else_says_what_to_write(lab):
    for other in (lab.sampler.pipeline, lab.sampler.transformer, None):
        with pytest.raises(
            CheckpointError, match=r'not a \w+: write sweep\(Lab\("flux-tiny"\), ...\) or sweep\("flux-'
        ):
            sweep(other)


def test_a_sweep_takes_diffusers_names_and_writes_ours(lab, tmp_path):
    grid = {"stacks": "single_transformer_blocks,transformer_blocks,double", "ranges": "2", "strategies": "skip"}
    records = list(sweep(lab, **grid, plans="transformer_blocks: 0 2 1 3-4", folder=tmp_path))
    assert [r.stack for r in records] == ["double", "double", "single"]
    assert [r.case for r in records[1:]] == ["flux-tiny-double-L02-skip", "flux-tiny-single-L02-skip"]
    assert records[0].case == next(sweep(lab, plans="double: 0 2 1 3-4")).case
    assert not any("transformer_blocks" in path.read_text() for path in tmp_path.glob("*.jsonl"))


def test_a_pipeline_is_ablated_as_it_is(lab):
    pipeline = lab.sampler.pipeline
    blocks = pipeline.transformer.transformer_blocks
    with ablate(pipeline, "transformer_blocks: 0-1 3-4") as inside:
        assert inside is pipeline
        assert pipeline.transformer.transformer_blocks is not blocks
    assert pipeline.transformer.transformer_blocks is blocks


def test_a_revision_is_loaded(cache):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    (snapshot.parent.parent / "refs" / "main").write_text("f" * 40)
    with pytest.raises(CheckpointError, match="half-downloaded"):
        load("someone/flux-small")
    assert type(load("someone/flux-small", revision=hubs.COMMIT)).__name__ == "FluxPipeline"
    with pytest.raises(CheckpointError, match=r"revision 'v9' is not in the hub cache .* --revision v9 "):
        load("someone/flux-small", revision="v9")


@pytest.mark.parametrize(("page", "printed"), [("analysis.md", 3), ("findings.md", 2)])
def test_analyses_and_claims_are_called_as_the_pages_say(page, printed, lab, monkeypatch, capsys):
    """The example with a Study, on few prompts and of the claims on two that need little."""
    text = (Path(harness.__file__).parent.parent / "docs" / page).read_text()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Study(Lab(" in block)
    monkeypatch.setattr("harness.lab.lab.Lab", lambda name: lab if name == "flux-tiny" else pytest.fail(name))
    monkeypatch.setattr("harness.findings.blog.BLOG", [c for c in findings.BLOG if c.id in ("B2", "B4")])
    exec(compile(code, page, "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) >= printed


def test_load_gives_the_tables_of_a_run_at_a_folder_a_file_or_a_url(tmp_path):
    folder = tmp_path / "nightly-7"
    write_journal(folder, [quality("skip", 0.5)])
    for place in (folder, folder / FILE, f"file://{folder}"):
        tables = load(place)
        assert (tables.run, list(tables.cases["case"])) == ("nightly-7", ["m-s-skip"])
        assert repr(load_run(place)) == repr(tables)
    with (folder / FILE).open("a") as stream:
        stream.write("no record\n")
    with pytest.warns(UserWarning, match="line 2 is no record"):
        assert len(load_run(folder).cases) == 1
    with pytest.raises(JournalError, match="no journal in"):
        load_run(tmp_path / "nightly-8")

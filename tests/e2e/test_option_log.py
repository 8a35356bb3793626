"""``--dit-log`` as a user meets it: TensorBoard for real, a tracker that isn't there, one that breaks, and xdist."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from harness.loggers import tensorboard
from tests.helpers.projects import SKIP, records, run


def scalars(project):
    """The last value of every figure, as TensorBoard reads it."""
    events = EventAccumulator(str(project.path / "reports" / "r" / "tensorboard")).Reload()
    return {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}, events.Tags()["tensors"]


def test_tensorboard_is_told_each_case_and_the_ranking(project):
    assert run(project, "--dit-log=tensorboard", "-k", "skip or control").ret == 0
    values, texts = scalars(project)
    assert values[f"harm/{SKIP}"] == pytest.approx(records(project)[SKIP].measurement.summary["harm"], rel=1e-6)
    assert "score/flux-tiny-control" in values
    assert values["red"] == 0
    assert {"settings/text_summary", "ranking/text_summary"} <= set(texts)


def test_a_tracker_that_breaks_costs_nothing_but_itself(project, monkeypatch):
    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr(tensorboard._Tensorboard, "log", broken)
    result = run(project, "--dit-log=tensorboard", "-k", "skip")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*--dit-log=tensorboard: OSError: no space left; tensorboard gets nothing more of this run",
            "wrote *ranking.md",
        ]
    )
    assert SKIP in records(project)


@pytest.mark.nightly
def test_under_xdist_the_controller_alone_tells(project):
    pytest.importorskip("xdist")
    options = ("--dit-prompts=prompts.txt", "--dit-run-id=r", "-p", "no:randomly", "--dit-log=tensorboard")
    project.runpytest_subprocess("-n2", *options, "-k", "skip or reverse").assert_outcomes(passed=2)
    assert len(list((project.path / "reports" / "r" / "tensorboard").iterdir())) == 1
    assert len([tag for tag in scalars(project)[0] if tag.startswith("harm/")]) == 2


def test_an_unknown_tracker_or_one_without_its_package_is_refused_at_once(project, monkeypatch):
    result = run(project, "--dit-log=tensorbord")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--dit-log takes trackio, wandb, mlflow, tensorboard, not 'tensorbord'*"])
    monkeypatch.setattr("harness.loggers.table.find_spec", lambda name: None)
    result = run(project, "--dit-log=wandb")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["*--dit-log=wandb needs the package wandb, which is not installed; run: pip install *"]
    )
    assert not (project.path / "reports" / "r").exists()

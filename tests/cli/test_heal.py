"""``python -m harness heal``."""

from __future__ import annotations

import json

import pytest

from harness.cli.main import main
from harness.healing import student
from harness.models.checkpoints.resolve import resolve
from harness.results.journal import read

START = ["heal", "--checkpoint", "flux-tiny"]
PLAN = ["--plan", "double: 0 2-4"]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("a large red circle on a grey background\na small blue cross on a black background\n")
    return path


def test_it_heals_saves_and_measures(tmp_path, prompts, capsys):
    out, run = tmp_path / "healed", tmp_path / "run"
    arguments = [*START, *PLAN, "--prompts", str(prompts), "--steps", "2", "--batch", "2", "--run", str(run)]
    assert main([*arguments, str(out)]) == 0
    said, bars = capsys.readouterr()
    assert said.startswith(f"wrote {out}: FluxTransformer2DModel under double: 0 2-4, healed for 2 steps (4 noised")
    assert "double-plan-85ed8605-healed" in said
    assert "brought back: " in said
    assert "steps" in bars
    assert "warning" not in bars
    assert dict(resolve(str(out)).stacks) == {"double": 4, "single": 10}
    assert [record.case.removeprefix("flux-tiny-") for record in read(run)] == [
        "control",
        "double-plan-85ed8605",
        "double-plan-85ed8605-healed",
    ]
    assert json.loads((out / "healing.json").read_text())["plans"] == {"double": "0 2-4"}
    assert "not healed" in (out / "README.md").read_text()
    # Into a folder that holds a model, and on with one that is finished.
    assert main([*arguments, str(out)]) == 4
    assert "is there already and not empty" in capsys.readouterr().err
    assert main([*arguments, "--resume", str(out)]) == 4
    assert "the healing is finished" in capsys.readouterr().err


def said_of(arguments, capsys):
    assert main(arguments) == 4
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "double: 0 1 1 3"], "can't be saved: block 1 runs 2 times"),
        (["--plan", "double: 0 (1|2) 3"], "runs blocks side by side"),
        (["--plan", "joint: 0-2"], "there is no stack 'joint'; it has double, single"),
        (["--plan", "double: 0-9"], "out of range"),
        ([*PLAN, "--dtype", "fp16"], "healing in float16 would need scaled gradients"),
        ([*PLAN, "--rate", "3"], "a learning rate of 3.0: it is above 0 and below 1"),
        ([*PLAN, "--resume"], "there is no healing to resume"),
        ([*PLAN, "--prompts", "no-such-file"], "can't read the prompt file no-such-file"),
    ],
)
def test_wrong_input_is_one_line_before_any_model_is_loaded(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("harness.cli.heal.load", lambda *_args: pytest.fail("a model was loaded"))
    assert message in said_of([*START, *arguments, str(tmp_path / "out")], capsys)
    assert not (tmp_path / "out").exists()


def test_a_lora_without_peft_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(student, "find_spec", lambda _name: None)
    said = said_of([*START, *PLAN, "--lora", "4", str(tmp_path / "out")], capsys)
    assert "healing with a LoRA needs peft; run: pip install" in said


def test_a_resume_with_other_settings_is_one_line(tmp_path, prompts, capsys, monkeypatch):
    out = tmp_path / "out"
    arguments = [*START, *PLAN, "--prompts", str(prompts), "--steps", "2", "--batch", "2"]

    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.healing.heal.train", interrupted)
    assert main([*arguments, str(out)]) == 130
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"--batch 2 {out} --resume")
    said = said_of([*arguments, str(out)], capsys)
    assert "holds an unfinished healing (0 of 2 steps); add --resume to go on" in said
    assert main([*START, *PLAN, "--prompts", str(prompts), "--steps", "3", "--batch", "2", "--resume", str(out)]) == 4
    assert "was begun with steps 2, and this is 3; give the same settings to go on" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([*arguments, "--resume", str(out)]) == 0
    assert dict(resolve(str(out)).stacks) == {"double": 4, "single": 10}

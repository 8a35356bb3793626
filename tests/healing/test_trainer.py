"""The loop: it trains, goes on bitwise, stops on Ctrl-C, and its step is the formula's gradient."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from harness.healing import trainer
from harness.healing.examples import make_examples
from harness.healing.features import teacher_places
from harness.healing.recipe import Recipe
from harness.healing.state import State, is_begun
from harness.healing.student import Student
from harness.surgery.export import export
from harness.surgery.pruning import chosen

DEVICE = torch.device("cpu")


class Setting:
    """A teacher, its examples, and fresh students of one plan."""

    def __init__(self, sampler, folder, prompts):
        self.teacher, self.folder = sampler.transformer, folder
        self.kept = chosen(self.teacher, ["double: 0 2-4"])
        self.places = teacher_places(self.teacher, self.kept)
        export(self.teacher, "double: 0 2-4", folder / "part")
        self.examples = make_examples(sampler, prompts, folder / "examples")

    def student(self, **changes):
        return Student(type(self.teacher), self.folder / "part", DEVICE, torch.float32, lora_rank=0, seed=0, **changes)

    def train(self, recipe, name, student=None, **changes):
        state = State(self.folder / name, {"recipe": repr(recipe)})
        if not is_begun(state.folder):
            state.begin()
        student = student or self.student()
        progress = trainer.train(
            self.teacher, student, self.places, self.examples, recipe, state, dtype=torch.float32, **changes
        )
        return student, progress


@pytest.fixture(scope="module")
def setting(flux_sampler, tmp_path_factory):
    return Setting(flux_sampler, tmp_path_factory.mktemp("healing"), ["a red circle", "a blue cross"])


RECIPE = Recipe(steps=6, batch=2, rate=1e-3)


def test_the_loss_falls_and_is_kept_for_every_step(setting):
    recipe = Recipe(steps=12, batch=2, rate=1e-4)
    seen = []
    student, progress = setting.train(recipe, "falls", advance=lambda step, loss: seen.append((step, loss)))
    assert len(progress.losses) == 12
    assert [step for step, _ in seen] == list(range(13))
    assert all(total == pytest.approx(output + features) for total, output, features in progress.losses)
    args = (setting.places, setting.examples, recipe, torch.float32)
    before = trainer.calibration_loss(setting.teacher, setting.student().model, *args)
    assert trainer.calibration_loss(setting.teacher, student.model, *args).total < before.total


def test_a_healing_that_was_interrupted_goes_on_bitwise(setting):
    whole, progress = setting.train(RECIPE, "whole")
    steps = []

    def interrupt(step, _loss):
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        setting.train(RECIPE, "parts", advance=interrupt)
    again, resumed = setting.train(RECIPE, "parts", advance=lambda step, _loss: steps.append(step))
    assert steps[0] == 3 + 1  # the step that ran when it was asked for is done, and kept
    assert np.allclose(resumed.losses, progress.losses, rtol=1e-6)
    for name, parameter in whole.parameters.items():
        assert torch.equal(parameter, again.parameters[name])


def test_two_healings_with_one_seed_are_the_same_and_another_seed_is_another(setting):
    first, _ = setting.train(RECIPE, "first")
    second, _ = setting.train(RECIPE, "second")
    third, _ = setting.train(Recipe(steps=6, batch=2, rate=1e-3, seed=1), "third")
    name = "proj_out.weight"
    assert torch.equal(first.parameters[name], second.parameters[name])
    assert not torch.equal(first.parameters[name], third.parameters[name])


def test_the_teacher_is_left_as_it_was(setting):
    before = {name: value.clone() for name, value in setting.teacher.state_dict().items()}
    setting.train(RECIPE, "teacher")
    assert all(torch.equal(value, setting.teacher.state_dict()[name]) for name, value in before.items())
    assert all(p.grad is None for p in setting.teacher.parameters())


def test_gradient_checkpointing_changes_memory_and_not_the_result(setting):
    plain, _ = setting.train(RECIPE, "plain")
    spared, _ = setting.train(Recipe(steps=6, batch=2, rate=1e-3, gradient_checkpointing=True), "spared")
    for name, parameter in plain.parameters.items():
        assert torch.allclose(parameter, spared.parameters[name], atol=1e-5)


def test_accumulated_batches_make_one_step(setting):
    _, progress = setting.train(Recipe(steps=2, batch=1, accumulate=3, rate=1e-3), "accumulated")
    assert len(progress.losses) == 2


def test_bf16_computes_in_bf16_and_trains_in_fp32(setting):
    recipe = Recipe(steps=2, batch=2, rate=1e-3)
    student = setting.student()
    arguments = setting.examples.draw(np.random.default_rng(0), 2, DEVICE, torch.bfloat16).arguments
    teacher = setting.teacher
    exact = trainer.step_loss(
        teacher,
        student.model,
        setting.places,
        {k: v.float() if torch.is_tensor(v) and v.dtype == torch.bfloat16 else v for k, v in arguments.items()},
        recipe,
        torch.float32,
    )
    with torch.autocast("cpu", torch.bfloat16):
        rough = trainer.step_loss(teacher, student.model, setting.places, arguments, recipe, torch.bfloat16)
    assert rough.total != exact.total
    assert float(rough.total) == pytest.approx(float(exact.total), rel=0.1)
    rough.total.backward()
    assert {p.grad.dtype for p in student.parameters.values() if p.grad is not None} == {torch.float32}


def test_a_loss_that_is_no_number_ends_it(setting, monkeypatch):
    real = trainer.step_loss
    monkeypatch.setattr(
        trainer, "step_loss", lambda *args: real(*args)._replace(total=real(*args).total * float("nan"))
    )
    with pytest.raises(HarnessError, match="the loss is nan at step 0; the state before is kept"):
        setting.train(RECIPE, "nan")

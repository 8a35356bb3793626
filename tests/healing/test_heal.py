"""A whole healing of a small model: its files, that it goes on, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from harness.errors import ExportError, HarnessError, OptionError, PlanError, SurgeryError
from harness.healing.heal import heal, plans_of
from harness.healing.state import read_state


def test_the_student_is_trained_and_returned(flux_sampler, small_job, tmp_path):
    images, steps = [], []
    healed = heal(
        flux_sampler,
        small_job(rate=1e-4),
        tmp_path,
        image_made=images.append,
        step_done=lambda step, _loss: steps.append(step),
    )
    assert (healed.kept, healed.lengths) == ({"double": (0, 2, 3, 4)}, {"double": 5, "single": 10})
    assert plans_of(healed.kept) == {"double": "0 2-4"}
    assert (len(healed.model.transformer_blocks), len(healed.progress.losses)) == (4, 8)
    assert (images, steps) == ([2], list(range(9)))
    assert healed.trained == sum(p.numel() for p in healed.model.parameters())
    assert healed.loss_after < healed.loss_before
    assert healed.output_before <= healed.loss_before
    assert read_state(tmp_path)["step"] == 8
    # Once more on what is finished: nothing is trained, and the result is the same.
    again = heal(flux_sampler, small_job(rate=1e-4), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(healed.model.parameters(), again.model.parameters(), strict=True))


def test_a_lora_is_merged_into_the_student(flux_sampler, small_job, tmp_path):
    healed = heal(flux_sampler, small_job(lora_rank=4, rate=1e-2, steps=12), tmp_path)
    assert healed.loss_after < healed.loss_before
    assert not any("lora" in name for name in healed.model.state_dict())
    assert healed.trained < 0.2 * sum(p.numel() for p in healed.model.parameters())


@pytest.mark.parametrize(
    ("plans", "error", "message"),
    [
        (["double: 0 1 1 3"], ExportError, "can't be saved: block 1 runs 2 times"),
        (["double: 0 (1|2) 3"], ExportError, "runs blocks side by side"),
        (["joint: 0-2"], SurgeryError, "there is no stack 'joint'; it has double, single"),
        (["double: 0-7"], PlanError, "out of range"),
        (["double: 0-4"], ExportError, "there is nothing to leave out"),
    ],
)
def test_a_plan_that_no_saved_model_can_run_is_refused_and_nothing_is_written(
    plans, error, message, flux_sampler, small_job, tmp_path
):
    job = dataclasses.replace(small_job(), plans=plans)
    with pytest.raises(error, match=message):
        heal(flux_sampler, job, tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_another_healing_is_not_gone_on_with(flux_sampler, small_job, tmp_path):
    heal(flux_sampler, small_job(steps=1), tmp_path)
    with pytest.raises(HarnessError, match="was begun with steps 1, and this is 2"):
        heal(flux_sampler, small_job(steps=2), tmp_path)
    with pytest.raises(HarnessError, match="was begun with prompts"):
        heal(flux_sampler, dataclasses.replace(small_job(steps=1), prompts=["a red circle"]), tmp_path)


def test_float16_is_refused(small_job):
    with pytest.raises(OptionError, match="float16 would need scaled gradients; take bfloat16 or float32"):
        dataclasses.replace(small_job(), dtype="float16")

"""The training loop: AdamW on the distillation loss, resumable after every step that was saved.

Step k draws its images, noise levels and noise from (seed, k), so that a healing which was stopped and went on is, on
the CPU, bitwise one that wasn't.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import sdpa_kernel

from harness.errors import HarnessError
from harness.healing.examples import Examples
from harness.healing.features import Places, block_outputs, common, student_places
from harness.healing.interrupt import held_back
from harness.healing.loss import Loss, distillation_loss
from harness.healing.recipe import Recipe
from harness.healing.state import Progress, State
from harness.healing.student import Student
from harness.models.kernels import KERNELS

_CALIBRATION_BATCHES = 8
Advance = Callable[[int, float], None]  # (steps done, loss)


def train(
    teacher: nn.Module,
    student: Student,
    places: Places,
    examples: Examples,
    recipe: Recipe,
    state: State,
    *,
    dtype: torch.dtype,
    save_every: int = 100,
    advance: Advance = lambda _step, _loss: None,
) -> Progress:
    """Train the student in place, from where ``state`` is; the losses of all steps.

    ``places`` are the teacher's positions that the student's blocks are matched with, by stack. ``dtype`` is what
    forwards compute in. The state is kept every ``save_every`` steps and after the last one. Raises KeyboardInterrupt
    after a Ctrl-C, when the state is kept; HarnessError where the loss is no longer finite, or the state can't be
    gone on from.
    """
    optimiser = torch.optim.AdamW(
        student.parameters.values(), lr=recipe.rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )
    progress = state.restore(student.parameters, optimiser)
    losses = list(progress.losses)
    device = next(iter(student.parameters.values())).device
    _checkpoint_gradients(student.model, on=recipe.gradient_checkpointing)
    advance(progress.step, losses[-1][0] if losses else math.nan)
    with held_back() as asked_to_stop:
        for step in range(progress.step, recipe.steps):
            rng = np.random.default_rng((recipe.seed, step))
            for group in optimiser.param_groups:
                group["lr"] = recipe.rate_at(step)
            optimiser.zero_grad(set_to_none=True)
            parts = [0.0, 0.0, 0.0]
            for _ in range(recipe.accumulate):
                arguments = examples.draw(rng, recipe.batch, device, dtype).arguments
                loss = step_loss(teacher, student.model, places, arguments, recipe, dtype)
                torch.autograd.backward(loss.total / recipe.accumulate)
                for i, part in enumerate(loss):
                    parts[i] += float(part.detach()) / recipe.accumulate
            if not math.isfinite(parts[0]):
                raise HarnessError(
                    f"the loss is {parts[0]} at step {step}; the state before is kept, and a lower --rate may help"
                )
            nn.utils.clip_grad_norm_(student.parameters.values(), recipe.clip)
            optimiser.step()
            losses.append((parts[0], parts[1], parts[2]))
            done, stop = step + 1, asked_to_stop()
            advance(done, parts[0])
            if stop or done % save_every == 0 or done == recipe.steps:
                state.save(Progress(done, tuple(losses)), student.parameters, optimiser)
            if stop and done < recipe.steps:
                raise KeyboardInterrupt
    return Progress(recipe.steps, tuple(losses))


def step_loss(
    teacher: nn.Module,
    student: nn.Module,
    places: Places,
    arguments: Mapping[str, object],
    recipe: Recipe,
    dtype: torch.dtype,
) -> Loss:
    """The loss of one batch, with the student's gradients."""
    device_type = next(student.parameters()).device.type
    with sdpa_kernel(list(KERNELS.get()), set_priority=True):
        with torch.no_grad(), block_outputs(teacher, places) as teacher_features:
            target: Tensor = teacher(**arguments)[0]
        with (
            torch.autocast(device_type, torch.bfloat16, enabled=dtype == torch.bfloat16),
            block_outputs(student, student_places(places)) as student_features,
        ):
            velocity: Tensor = student(**arguments)[0]
        mine, theirs = common(student_features, teacher_features)
    return distillation_loss(velocity, mine, target, theirs, normalised=recipe.normalised, weight=recipe.feature_weight)


def calibration_loss(
    teacher: nn.Module, student: nn.Module, places: Places, examples: Examples, recipe: Recipe, dtype: torch.dtype
) -> Loss:
    """The mean loss of a student on a few batches that no step of the training draws, without gradients."""
    rng = np.random.default_rng((recipe.seed, recipe.steps, 1))
    device = next(student.parameters()).device
    losses: list[Loss] = []
    with torch.no_grad():
        for _ in range(_CALIBRATION_BATCHES):
            arguments = examples.draw(rng, recipe.batch, device, dtype).arguments
            losses.append(step_loss(teacher, student, places, arguments, recipe, dtype))
    return Loss(*(torch.stack(parts).mean() for parts in zip(*losses, strict=True)))


def _checkpoint_gradients(model: nn.Module, *, on: bool) -> None:
    switch = getattr(model, "enable_gradient_checkpointing", None)
    if on and switch is None:
        raise HarnessError(f"{type(model).__name__} has no gradient checkpointing; leave --gradient-checkpointing out")
    if on and switch is not None:
        switch()

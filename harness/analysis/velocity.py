"""Velocity errors: what a plan does to the predicted velocity, at every denoising step of the control's own trajectory.

The pipeline samples as usual, and at each step the transformer runs again on the same inputs under every plan that is
asked for. Plans share the blocks that they begin with (:mod:`harness.surgery.prefix_walk`): all single skips of L
blocks are L (L + 1) / 2 block runs with the control's own, instead of L (L - 1) and L.

Under guidance with both passes in one batch (SD3, AuraFlow) the velocity is that of the conditional half, and only that
half runs again: the guided velocity is v_neg + w (v_pos - v_neg), in which w would scale the errors of both.

Memory beside the forward: the states on one path of the tree of plans. FLUX.1 at 1024 x 1024 in bf16 has 57 of
(4,096 + 512) x 3,072 x 2 bytes = 28.3 MB, 1.6 GB a prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from harness.ablation.plan import Plan, without_block
from harness.analysis.hidden_states import clock
from harness.analysis.profile import Velocity
from harness.errors import SurgeryError
from harness.lab.lab import Lab
from harness.models.forward_output import output_of
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.results.arrays import Array
from harness.surgery.prefix_walk import walk
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import ablate


class PlanErrors(NamedTuple):
    """The relative velocity error of K plans on P prompts at S steps, (K, P, S), and the noise level of each step."""

    error: Array
    levels: tuple[float, ...]


def relative_error(velocity: Tensor, control: Tensor) -> Array:
    """(N,) ||velocity - control||^2 / ||control||^2 over all dimensions but the first, summed in float64."""
    a, b = (v.flatten(1).to(torch.float64) for v in (velocity, control))
    return np.asarray(((a - b).square().sum(dim=1) / b.square().sum(dim=1)).cpu().numpy(), dtype=np.float64)


def conditional_half(arguments: Mapping[str, Any], prompts: int) -> dict[str, Any]:
    """The arguments of a forward without the negative half of batched guidance, if they have one.

    Raises SurgeryError where a forward has neither one row a prompt nor two.
    """
    rows = len(arguments["hidden_states"])
    if rows == prompts:
        return dict(arguments)
    if rows != 2 * prompts:
        raise SurgeryError(f"a forward has {rows} rows for {prompts} prompts: neither one nor two for each")
    return {
        name: value[prompts:] if isinstance(value, Tensor) and value.ndim and len(value) == rows else value
        for name, value in arguments.items()
    }


def single_skips(lengths: Mapping[str, int]) -> list[dict[str, Plan]]:
    """The plans that leave out one block each, for stacks of those lengths, in the order of the model."""
    return [{stack: without_block(length, block)} for stack, length in lengths.items() for block in range(length)]


def check_walk(transformer: nn.Module, arguments: Mapping[str, Any]) -> None:
    """Check that a walk gives bitwise what a plan gives, for the skip of the centre block of each stack.

    Raises SurgeryError where it doesn't, or where the plan was not applied.
    """
    model = unwrap_compiled(transformer)
    for stack, attribute in stacks(model).items():
        length = len(blocks_at(model, attribute))
        plan = without_block(length, (length - 1) // 2)
        with ablate(transformer, plan, stack), traced(transformer, stack) as ran:
            slow = output_of(transformer, arguments)
        check_trace(ran, plan, stack)
        with traced(transformer, stack) as ran:
            ((_, fast),) = walk(transformer, arguments, [{stack: plan}])
        blocks = list(plan.blocks())
        # A forward may call a stack before one that the model lists earlier (Lumina 2's refiners): it is whole then.
        split = max(0, len(ran) - len(blocks))
        before, own = list(ran)[:split], list(ran)[split:]
        if own != blocks or before not in ([], list(range(length))) or not torch.equal(slow, fast):
            raise SurgeryError(
                f"stack {stack!r}: the plan '{plan}' from stored states ran blocks {list(ran)} and differs from "
                f"the plan itself by {float((slow.float() - fast.float()).abs().max()):.3g}"
            )


class _Watch:
    """Computes one batch's errors at each step: ``hook`` is a forward hook, ``between`` the sampler's step callback."""

    def __init__(
        self, sampler: Sampler, plans: Sequence[Mapping[str, Plan]], errors: Mapping[int, Array], *, check: bool
    ) -> None:
        """``errors`` has a (K, P) array to fill for each step that is asked for; ``check`` compares with plans once."""
        self._sampler, self._plans, self._errors, self._check = sampler, plans, errors, check
        self._step = -1
        self._due = False  # only a step's first forward counts: guidance in two passes makes two
        self.levels: tuple[float, ...] = ()

    def between(self, step: int) -> None:
        """The next forward is the first one of ``step``."""
        self._step, self._due = step, True

    def hook(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], _output: Any) -> None:
        """Runs after the pipeline's forward. The forwards that it runs itself call it, too, and are ignored."""
        if not self._due:
            return
        self._due = False
        transformer = self._sampler.transformer
        named = self._sampler.named(args, kwargs)
        if lacking := [name for name in ("hidden_states", "timestep") if name not in named]:
            raise SurgeryError(
                f"the forward of {type(transformer).__name__} takes no {' and no '.join(lacking)}, so its velocity and "
                "noise levels aren't known, and plans can't be compared by them; compare them by images (cases)"
            )
        if not self._step:
            self._begin(float(named["timestep"].flatten()[-1]))
        errors = self._errors.get(self._step)
        if errors is None:
            return
        arguments = {**conditional_half(named, errors.shape[1]), "return_dict": False}
        if self._check:
            check_walk(transformer, arguments)
            self._check = False
        outputs = walk(transformer, arguments, [{}, *self._plans])
        _, control = next(outputs)
        for plan, velocity in outputs:
            errors[plan - 1] = relative_error(velocity, control)

    def _begin(self, timestep: float) -> None:
        self.levels = clock(self._sampler.pipeline, timestep).levels
        steps = self._sampler.settings.steps
        if len(self.levels) != steps:
            raise SurgeryError(
                f"the scheduler takes {len(self.levels)} steps where {steps} were asked for, so a map over steps has "
                "no clear meaning here; use a scheduler that takes one step for each"
            )


def plan_errors(
    sampler: Sampler,
    prompts: Sequence[str],
    plans: Sequence[Mapping[str, Plan]],
    *,
    steps: Collection[int] | None = None,
    seed: int = 0,
) -> PlanErrors:
    """The velocity errors of whole plans on the control's own trajectory.

    A plan maps names of stacks to what runs there. ``steps`` are all of them where they aren't given; the control
    samples all steps in any case. Raises SurgeryError where the walk over the plans doesn't give bitwise what a plan
    gives (checked once, on the first step), or where the scheduler takes another number of steps than the settings say;
    CheckpointError where it has no noise levels.
    """
    chosen = tuple(range(sampler.settings.steps)) if steps is None else tuple(sorted(set(steps)))
    error = np.full((len(plans), len(prompts), len(chosen)), np.nan)
    levels: tuple[float, ...] = ()
    for start in range(0, len(prompts), sampler.batch):
        part = prompts[start : start + sampler.batch]
        columns = {step: error[:, start : start + sampler.batch, i] for i, step in enumerate(chosen)}
        watch = _Watch(sampler, plans, columns, check=not start)
        handle = sampler.transformer.register_forward_hook(watch.hook, with_kwargs=True)
        try:
            sampler.sample(part, seed, between=watch.between)
        finally:
            handle.remove()
        levels = watch.levels
    return PlanErrors(error, tuple(levels[step] for step in chosen))


def velocity_maps(lab: Lab, *, seed: int = 0) -> dict[str, Velocity]:
    """By stack: the relative velocity error of skipping each block, for each prompt and step of the control's own run.

    ``error`` is (P, S, L); see the module for what the velocity is under guidance. Raises as :func:`plan_errors`.
    """
    lengths = lab.checkpoint.stacks
    errors = plan_errors(lab.sampler, lab.prompts, single_skips(lengths), seed=seed)
    levels = np.asarray(errors.levels, dtype=np.float64)
    maps: dict[str, Velocity] = {}
    start = 0
    for stack, length in lengths.items():
        whole = np.ascontiguousarray(np.moveaxis(errors.error[start : start + length], 0, 2))
        maps[stack] = Velocity(lab.checkpoint.name, stack, levels, whole)
        start += length
    return maps

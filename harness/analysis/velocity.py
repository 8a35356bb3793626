"""The layer x timestep map: what skipping one block does to the predicted velocity, at every denoising step.

On the control's own trajectory: the pipeline samples as usual, and at each step the transformer runs again on the same
inputs, once for every skipped block. Skips of single blocks share their prefixes: up to the skipped block everything is
the control's. So the control runs once with the state at every block's input kept, and each skip starts from the state
at the input of its own block. In one stack of L blocks that is L (L - 1) / 2 block calls and L for the
control, instead of L (L - 1) and L.

Under guidance with both passes in one batch (SD3, AuraFlow) the velocity is that of the conditional half, and only that
half runs again: the guided velocity is v_neg + w (v_pos - v_neg), in which w would scale the errors of both.

Memory beside the forward: one step's states of one batch, let go before the next. FLUX.1 at 1024 x 1024 in bf16 has 57
states of (4,096 + 512) x 3,072 x 2 bytes = 28.3 MB, 1.6 GB a prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from harness.ablation.plan import Plan
from harness.analysis.hidden_states import clock
from harness.analysis.profile import Velocity
from harness.errors import SurgeryError
from harness.lab.lab import Lab
from harness.models.sampler import Sampler
from harness.models.stacks import stacks, unwrap_compiled
from harness.results.arrays import Array
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.prefix_walk import StoredState
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import BlockView, Slot, State, ablate


@dataclass(frozen=True)
class ControlForward:
    """One forward of the model as it is: its velocity (N, ...), and by stack the state at the input of each block."""

    velocity: Tensor
    states: Mapping[str, Sequence[State]]


def control_forward(transformer: nn.Module, arguments: Mapping[str, Any]) -> ControlForward:
    """Run the un-ablated model and keep the states.

    Raises SurgeryError where the blocks don't run once each, in their order.
    """
    model = unwrap_compiled(transformer)
    states: dict[str, list[State]] = {}
    lengths: dict[str, int] = {}
    handles: list[Any] = []

    def keep(kept: list[State], block_contract: BlockContract, index: int) -> Callable[..., None]:
        def hook(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            if index != len(kept):
                raise SurgeryError(f"block {index} ran where block {len(kept)} should have; the model is under a plan")
            # By the class: an instance's forward may be wrapped by an offload hook that hides its parameters.
            call = inspect.signature(type(block).forward).bind(block, *args, **kwargs).arguments
            kept.append({name: call[name] for name in block_contract.outputs})

        return hook

    try:
        for stack, attribute in stacks(model).items():
            blocks, block_contract = getattr(model, attribute), contract(model, attribute)
            states[stack], lengths[stack] = [], len(blocks)
            for index in range(len(blocks)):
                hook = keep(states[stack], block_contract, index)
                handles.append(blocks[index].register_forward_pre_hook(hook, with_kwargs=True))
        velocity: Tensor = transformer(**arguments)[0]
    finally:
        for handle in handles:
            handle.remove()
    for stack, kept in states.items():
        if len(kept) != lengths[stack]:
            raise SurgeryError(f"stack {stack!r}: {len(kept)} of its {lengths[stack]} blocks ran; is it under a plan?")
    return ControlForward(velocity, states)


@contextmanager
def resumed_after(transformer: nn.Module, stack: str, block: int, states: Sequence[State]) -> Iterator[None]:
    """Skip one block by reusing the control's prefix: only the blocks after it run, from the state at its input.

    ``states`` are the stack's, of a :func:`control_forward` on the same inputs. Earlier stacks run no block; their
    output is not used. The result is bitwise that of the forward under a plan without that block.
    """
    model = unwrap_compiled(transformer)
    attributes = stacks(model)
    originals: dict[str, nn.ModuleList] = {}
    try:
        for name, attribute in attributes.items():
            original: nn.ModuleList = getattr(model, attribute)
            if isinstance(original, BlockView):
                raise SurgeryError(f"stack {name!r} is already under a plan; leave that context first")
            blocks, block_contract = list(original), contract(model, attribute)
            slots: list[Callable[..., Any]] = list(blocks)
            if name == stack:
                slots[: block + 1] = [StoredState(home, states[block], block_contract) for home in blocks[: block + 1]]
            else:
                slots = [Slot(home, blocks, (), block_contract) for home in blocks]
            originals[attribute] = original
            setattr(model, attribute, BlockView(original, slots))
            if name == stack:
                break  # later stacks run as they are
        yield
    finally:
        for attribute, original in originals.items():
            setattr(model, attribute, original)


class SingleSkip(NamedTuple):
    """The velocity (N, ...) of a forward in which one block was skipped."""

    stack: str
    block: int
    velocity: Tensor


def single_skips(transformer: nn.Module, arguments: Mapping[str, Any], control: ControlForward) -> Iterator[SingleSkip]:
    """Skip every block of the model, one at a time; ``control`` is the control's forward on the same arguments."""
    for stack, states in control.states.items():
        for block in range(len(states)):
            with resumed_after(transformer, stack, block, states):
                velocity: Tensor = transformer(**arguments)[0]
            yield SingleSkip(stack, block, velocity)


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


def check_prefix_reuse(transformer: nn.Module, arguments: Mapping[str, Any], control: ControlForward) -> None:
    """Check that reusing the control's prefix gives bitwise what a plan gives, for the centre block of each stack.

    Raises SurgeryError where it doesn't, or where the plan was not applied.
    """
    for stack, states in control.states.items():
        block = (len(states) - 1) // 2
        plan = Plan(tuple(i for i in range(len(states)) if i != block))
        with ablate(transformer, plan, stack), traced(transformer, stack) as ran:
            slow: Tensor = transformer(**arguments)[0]
        check_trace(ran, plan, stack)
        with resumed_after(transformer, stack, block, states), traced(transformer, stack) as ran:
            fast: Tensor = transformer(**arguments)[0]
        if list(ran) != list(range(block + 1, len(states))) or not torch.equal(slow, fast):
            raise SurgeryError(
                f"stack {stack!r}: skipping block {block} from its stored input ran blocks {list(ran)} and differs "
                f"from the plan without it by {float((slow.float() - fast.float()).abs().max()):.3g}"
            )


class _Watch:
    """Computes one batch's errors at each step: ``hook`` is a forward hook, ``between`` the sampler's step callback."""

    def __init__(self, sampler: Sampler, prompts: int, errors: Mapping[str, Array], *, check: bool) -> None:
        self._sampler, self._prompts, self._errors, self._check = sampler, prompts, errors, check
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
        if not self._step:
            self._begin(float(named["timestep"].flatten()[-1]))
        arguments = {**conditional_half(named, self._prompts), "return_dict": False}
        control = control_forward(transformer, arguments)
        if self._check and not self._step:
            check_prefix_reuse(transformer, arguments, control)
        for stack, block, velocity in single_skips(transformer, arguments, control):
            self._errors[stack][:, self._step, block] = relative_error(velocity, control.velocity)

    def _begin(self, timestep: float) -> None:
        self.levels = clock(self._sampler.pipeline, timestep).levels
        steps = self._sampler.settings.steps
        if len(self.levels) != steps:
            raise SurgeryError(
                f"the scheduler takes {len(self.levels)} steps where {steps} were asked for, so a map over steps has "
                "no clear meaning here; use a scheduler that takes one step for each"
            )


def velocity_maps(lab: Lab, *, seed: int = 0) -> dict[str, Velocity]:
    """By stack: the relative velocity error of skipping each block, for each prompt and step of the control's own run.

    ``error`` is (P, S, L); see the module for what the velocity is under guidance. Raises SurgeryError where reusing
    the control's prefix doesn't give bitwise what a plan gives (checked once for each stack, on the first step), or
    where the scheduler takes another number of steps than the settings say; CheckpointError where it has no noise
    levels.
    """
    sampler, prompts = lab.sampler, lab.prompts
    steps = sampler.settings.steps
    lengths = lab.checkpoint.stacks
    errors = {stack: np.full((len(prompts), steps, length), np.nan) for stack, length in lengths.items()}
    levels: tuple[float, ...] = ()
    for start in range(0, len(prompts), sampler.batch):
        part = prompts[start : start + sampler.batch]
        rows = {stack: whole[start : start + sampler.batch] for stack, whole in errors.items()}
        watch = _Watch(sampler, len(part), rows, check=not start)
        handle = sampler.transformer.register_forward_hook(watch.hook, with_kwargs=True)
        try:
            sampler.sample(part, seed, between=watch.between)
        finally:
            handle.remove()
        levels = watch.levels
    return {
        stack: Velocity(lab.checkpoint.name, stack, np.asarray(levels, dtype=np.float64), whole)
        for stack, whole in errors.items()
    }

"""The layer x timestep map: what skipping one block does to the predicted velocity, at every denoising step.

On the control's own trajectory: the pipeline samples as it does, and at each step, while it stands there, the
transformer runs again on the very inputs of that step. Skips of single blocks share their prefixes: up to the skipped
block everything is the control's, so the control runs once with the state at every block's input kept, and each skip
starts from the state at its own block. In one stack of L blocks that is L (L - 1) / 2 block calls and L for the
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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.ablation.plan import Plan
from harness.analysis.hidden_states import clock
from harness.analysis.profile import Velocity
from harness.errors import SurgeryError
from harness.models.sampler import Sampler
from harness.models.stacks import stacks, unwrap_compiled
from harness.results.arrays import Array
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import BlockView, Slot, State, ablate

if TYPE_CHECKING:
    from harness.lab.lab import Lab


class Handover(Slot):
    """A slot that runs nothing and hands on a state that is already known, whatever comes in."""

    def __init__(self, home: nn.Module, state: State, made: BlockContract) -> None:
        super().__init__(home, (), (), made)
        values = tuple(state[name] for name in made.outputs)
        self._given = values[0] if made.single else values

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """The state, in the form in which the position's own block returns one."""
        return self._given


@dataclass(frozen=True)
class ControlForward:
    """One forward of the model as it is: its velocity (N, ...), and by stack the state at the input of each block."""

    velocity: Tensor
    states: Mapping[str, Sequence[State]]


def control(transformer: nn.Module, arguments: Mapping[str, Any]) -> ControlForward:
    """Run a forward and keep the states. Raises SurgeryError where the blocks don't run once each, in their order."""
    model = unwrap_compiled(transformer)
    states: dict[str, list[State]] = {}
    lengths: dict[str, int] = {}
    handles: list[Any] = []

    def note(kept: list[State], made: BlockContract, index: int) -> Callable[..., None]:
        def hook(block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            if index != len(kept):
                raise SurgeryError(f"block {index} ran where block {len(kept)} should have; the model is under a plan")
            # By the class: an instance's forward may be wrapped by an offload hook that hides its parameters.
            call = inspect.signature(type(block).forward).bind(block, *args, **kwargs).arguments
            kept.append({name: call[name] for name in made.outputs})

        return hook

    try:
        for stack, attribute in stacks(model).items():
            blocks, made = getattr(model, attribute), contract(model, attribute)
            states[stack], lengths[stack] = [], len(blocks)
            for index in range(len(blocks)):
                hook = note(states[stack], made, index)
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
def starting_behind(transformer: nn.Module, stack: str, block: int, states: Sequence[State]) -> Iterator[None]:
    """Skip one block by starting behind it: only the blocks after it run, from the state at its input.

    ``states`` are the stack's, of a :func:`control` on the same inputs. Earlier stacks pass on what they are given,
    which nobody reads. Bitwise the same as the forward under a plan without that block.
    """
    model = unwrap_compiled(transformer)
    known = stacks(model)
    originals: dict[str, nn.ModuleList] = {}
    try:
        for name, attribute in known.items():
            original: nn.ModuleList = getattr(model, attribute)
            if isinstance(original, BlockView):
                raise SurgeryError(f"stack {name!r} is already under a plan; leave that context first")
            blocks, made = list(original), contract(model, attribute)
            slots: list[Callable[..., Any]] = list(blocks)
            if name == stack:
                slots[: block + 1] = [Handover(home, states[block], made) for home in blocks[: block + 1]]
            else:
                slots = [Slot(home, blocks, (), made) for home in blocks]
            originals[attribute] = original
            setattr(model, attribute, BlockView(original, slots))
            if name == stack:
                break  # later stacks run as they are
        yield
    finally:
        for attribute, original in originals.items():
            setattr(model, attribute, original)


def skipped(
    transformer: nn.Module, arguments: Mapping[str, Any], known: ControlForward
) -> Iterator[tuple[str, int, Tensor]]:
    """(stack, block, velocity (N, ...) without it) for every block of the model; ``known`` is of the same arguments."""
    for stack, states in known.states.items():
        for block in range(len(states)):
            with starting_behind(transformer, stack, block, states):
                velocity: Tensor = transformer(**arguments)[0]
            yield stack, block, velocity


def error(velocity: Tensor, known: Tensor) -> Array:
    """(N,) ||velocity - known||^2 / ||known||^2 over all dimensions but the first, summed in float64."""
    a, b = (v.flatten(1).to(torch.float64) for v in (velocity, known))
    return np.asarray(((a - b).square().sum(dim=1) / b.square().sum(dim=1)).cpu().numpy(), dtype=np.float64)


def conditional(arguments: Mapping[str, Any], prompts: int) -> dict[str, Any]:
    """The arguments of a forward for the prompts alone: without the negative half of batched guidance, if it has one.

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


def prove(transformer: nn.Module, arguments: Mapping[str, Any], known: ControlForward) -> None:
    """Starting behind the centre block of each stack is bitwise the forward under the plan without it.

    Raises SurgeryError where it isn't, or where that plan did not take hold.
    """
    for stack, states in known.states.items():
        block = (len(states) - 1) // 2
        plan = Plan(tuple(i for i in range(len(states)) if i != block))
        with ablate(transformer, plan, stack), traced(transformer, stack) as ran:
            slow: Tensor = transformer(**arguments)[0]
        check_trace(ran, plan, stack)
        with starting_behind(transformer, stack, block, states), traced(transformer, stack) as ran:
            fast: Tensor = transformer(**arguments)[0]
        if list(ran) != list(range(block + 1, len(states))) or not torch.equal(slow, fast):
            raise SurgeryError(
                f"stack {stack!r}: skipping block {block} from its stored input ran blocks {list(ran)} and differs "
                f"from the plan without it by {float((slow.float() - fast.float()).abs().max()):.3g}"
            )


class _Watch:
    """Computes one batch's errors while its pipeline stands at each step: a forward hook and a ``between``."""

    def __init__(self, sampler: Sampler, prompts: int, errors: Mapping[str, Array], *, proving: bool) -> None:
        self._sampler, self._prompts, self._errors, self._proving = sampler, prompts, errors, proving
        self._step = -1
        self._due = False  # only a step's first forward counts: guidance in two passes makes two
        self.levels: tuple[float, ...] = ()

    def between(self, step: int) -> None:
        """The next forward is the first one of ``step``."""
        self._step, self._due = step, True

    def hook(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], _output: Any) -> None:
        """After the pipeline's forward; those made here come back to it and go by."""
        if not self._due:
            return
        self._due = False
        transformer = self._sampler.transformer
        named = self._sampler.named(args, kwargs)
        if not self._step:
            self._begin(float(named["timestep"].flatten()[-1]))
        arguments = {**conditional(named, self._prompts), "return_dict": False}
        known = control(transformer, arguments)
        if self._proving and not self._step:
            prove(transformer, arguments, known)
        for stack, block, velocity in skipped(transformer, arguments, known):
            self._errors[stack][:, self._step, block] = error(velocity, known.velocity)

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

    ``error`` is (P, S, L); see the module for what the velocity is under guidance. Raises SurgeryError where the
    shared prefixes don't give bitwise what a plan gives (looked at once for each stack, on the first step), or where
    the scheduler doesn't take the steps that were asked for; CheckpointError where it has no noise levels.
    """
    sampler, prompts = lab.sampler, lab.prompts
    steps = sampler.settings.steps
    lengths = lab.checkpoint.stacks
    errors = {stack: np.full((len(prompts), steps, length), np.nan) for stack, length in lengths.items()}
    levels: tuple[float, ...] = ()
    for start in range(0, len(prompts), sampler.batch):
        part = prompts[start : start + sampler.batch]
        own = {stack: whole[start : start + sampler.batch] for stack, whole in errors.items()}
        watch = _Watch(sampler, len(part), own, proving=not start)
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

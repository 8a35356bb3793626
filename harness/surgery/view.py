"""Applying a plan to a model: a view on a stack of blocks, put in place by one setattr.

The view shares the original list's modules, so parameters, state_dict, LoRA, saving, ``.to`` and
offload hooks see the model as it is; only iterating over the stack gives something else. Each original
position is a slot that runs 0..k steps (see :func:`harness.ablation.alignment.align`), so that lengths, indices and
whatever the model does per position stay right.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from harness.ablation.alignment import align
from harness.ablation.block_parts import Atom
from harness.ablation.plan import Combine, Group, Plan, Step, as_plan, split_stack
from harness.errors import SurgeryError
from harness.models.stacks import diffusers_names, find_stack, transformer_of
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.partial_block import check_parts, take, without

State = dict[str, Tensor]


class Slot:
    """What stands at one position: some steps over the stack's blocks, called like a block.

    Attributes that a model reads from a block (``context_pre_only``) are those of the position's own block.
    """

    def __init__(
        self, home: nn.Module, blocks: Sequence[nn.Module], steps: Sequence[Step], block_contract: BlockContract
    ) -> None:
        self._home, self._blocks, self._steps, self._contract = home, blocks, tuple(steps), block_contract
        # By the class: an instance's forward may be wrapped by an offload hook that hides its parameters.
        self._signature = inspect.signature(type(home).forward)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)  # copying and pickling ask for these before there is a home
        return getattr(self._home, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the steps; takes and returns what the position's own block does."""
        bound = self._signature.bind(self._home, *args, **kwargs)
        call = dict(bound.arguments)
        call.pop(next(iter(self._signature.parameters)))
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                call |= call.pop(name, {})
        state: State = {name: call[name] for name in self._contract.outputs}
        for step in self._steps:
            state = self.run_step(step, state, call)
        values = tuple(state[name] for name in self._contract.outputs)
        return values[0] if self._contract.single else values

    def run_step(self, step: Step, state: State, call: Mapping[str, Any]) -> State:
        """The state after one step; ``call`` are the arguments that the position's own block is called with."""
        if not isinstance(step, Group):
            return self._run(step, state, call)
        for _ in range(step.loops):
            ends: list[State] = []
            for branch in step.branches:
                end = state
                for block in branch:
                    end = self._run(block, end, call)
                ends.append(end)
            state = {name: combine(step.combine, state[name], [end[name] for end in ends]) for name in state}
        return state

    def _run(self, block: Atom, state: State, call: Mapping[str, Any]) -> State:
        if isinstance(block, int):
            return self._call(self._blocks[block], state, call)
        if not block.runs:
            return state
        module = self._blocks[block.index]
        with without(module, block.cut):
            after = self._call(module, state, call)
        return take(module, block, state, after)

    def _call(self, module: nn.Module, state: State, call: Mapping[str, Any]) -> State:
        out = module(**{**call, **state})
        values = (out,) if self._contract.single else out
        # SD3's last block gives no text: the text from before is carried on.
        return {
            name: state[name] if value is None else value
            for name, value in zip(self._contract.outputs, values, strict=True)
        }


def combine(how: Combine, start: Tensor, ends: Sequence[Tensor]) -> Tensor:
    """One tensor from the outputs of M branches that all started at ``start``; all of one shape.

    Mean: sum(ends) / M. Sum: start + sum(ends - start). Root: start + sum(ends - start) / sqrt(M).
    """
    ends = [end.to(start.device) for end in ends]
    if how is Combine.MEAN:
        total = ends[0]
        for end in ends[1:]:
            total = total + end
        return total / len(ends)
    update = ends[0] - start
    for end in ends[1:]:
        update = update + (end - start)
    return start + (update if how is Combine.SUM else update / math.sqrt(len(ends)))


class BlockView(nn.ModuleList):
    """The original list's modules, iterated as slots. An integer index gives the original block."""

    _slots: tuple[Callable[..., Any], ...]

    def __init__(self, original: nn.ModuleList, slots: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        self._modules = original._modules  # noqa: SLF001 - sharing them is what a view is
        self.training = original.training
        self._slots = tuple(slots)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __getitem__(self, index: Any) -> Any:
        return list(self._slots[index]) if isinstance(index, slice) else super().__getitem__(index)


class AblationView:
    """A plan made ready for a transformer, put in place and taken away by one setattr each.

    A context manager, too: :func:`ablate` is the short form. ``install`` and ``remove`` by hand are for
    timing, where model and variant take turns. Raises PlanError for a plan that doesn't fit,
    SurgeryError for a model whose blocks can't be rearranged, a stack that is already ablated, or something that is
    neither a transformer nor a pipeline with one.
    """

    def __init__(
        self, transformer: Any, plan: Plan | str, stack: str | None = None, *, force_slots: bool = False
    ) -> None:
        self._model = transformer_of(transformer)
        stack, plan = split_stack(plan, stack, diffusers_names(self._model))
        self.stack, self._attribute = find_stack(self._model, stack)
        self._original: nn.ModuleList = getattr(self._model, self._attribute)
        length = len(self._original)
        self.plan = as_plan(plan, length, self.stack).normal()
        if isinstance(self._original, BlockView):
            raise SurgeryError(f"stack {self.stack!r} is already under a plan; leave that context first")
        self._view: BlockView | None = None
        if force_slots or not self.plan.is_identity(length):
            self._view = _view(self._model, self.stack, self._attribute, self._original, self.plan, force_slots)

    def install(self) -> None:
        """Put the view in place; the identity installs nothing."""
        if self._view is not None:
            setattr(self._model, self._attribute, self._view)

    def remove(self) -> None:
        """Put the original list back."""
        if self._view is not None:
            setattr(self._model, self._attribute, self._original)

    def __enter__(self) -> AblationView:
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


@contextmanager
def ablate(transformer: Any, plan: Plan | str, stack: str | None = None, *, force_slots: bool = False) -> Iterator[Any]:
    """Run a transformer, or the transformer of a pipeline, under a plan for the length of a ``with`` block.

    ``plan`` is a :class:`~harness.ablation.plan.Plan` or its text, which may name the stack
    (``"double: 0-3 8-18"``, or as diffusers names it, ``"transformer_blocks: 0-3 8-18"``); ``stack`` may be left out
    where there is only one. What was passed is what the ``with`` block gets. The identity installs
    nothing, unless ``force_slots`` puts every block behind a slot, to test the mechanism itself.
    Contexts nest over different stacks, and an exception inside leaves the model as it was.
    Raises what :class:`AblationView` raises.
    """
    with AblationView(transformer, plan, stack, force_slots=force_slots):
        yield transformer


def _view(
    model: nn.Module, stack: str, attribute: str, original: nn.ModuleList, plan: Plan, force_slots: bool
) -> BlockView:
    block_contract = contract(model, attribute)
    if plan.is_partial:
        check_parts(plan, model, attribute, stack, block_contract.outputs)
    blocks = list(original)
    slots: list[Callable[..., Any]] = []
    for position, steps in enumerate(align(plan, len(blocks))):
        alone = steps[0] if len(steps) == 1 and isinstance(steps[0], int) and not force_slots else None
        # SD3's last block gives no text; anywhere but last the old text must be carried, which a slot does.
        if alone is not None and (alone == position or not getattr(blocks[alone], "context_pre_only", False)):
            # The block itself: a slot around it would cost 25 microseconds a call for nothing.
            slots.append(blocks[alone])
        else:
            slots.append(Slot(blocks[position], blocks, steps, block_contract))
    return BlockView(original, slots)

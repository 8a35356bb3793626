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
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.ablation.alignment import align
from harness.ablation.block_parts import Atom
from harness.ablation.guidance import GuidancePass
from harness.ablation.plan import Combine, Group, Plan, Step, as_plan, split_stack
from harness.errors import SurgeryError
from harness.models.stacks import diffusers_names, find_stack, transformer_of
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.partial_block import check_parts, take, without

State = dict[str, Tensor]
RowsTaken = tuple[int, int, int]  # from the first to before the second, of so many


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
        state = self.run_steps({name: call[name] for name in self._contract.outputs}, call)
        values = tuple(state[name] for name in self._contract.outputs)
        return values[0] if self._contract.single else values

    def run_steps(self, state: State, call: Mapping[str, Any]) -> State:
        """The state after all steps."""
        for step in self._steps:
            state = self.run_step(step, state, call)
        return state

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


class OnePassSlot(Slot):
    """A slot whose steps hold in one pass of guidance alone, in a batch of [unconditional, conditional] rows.

    Both the steps and the position's own block run on all rows, and of each the rows of its passes are taken. No row's
    arithmetic depends on the others', so this is bitwise what the two passes give in batches of that size; it saves no
    time. ``rows_taken`` grows by one entry a call: the rows that were taken from the steps, and how many there were.
    """

    def __init__(
        self,
        home: nn.Module,
        blocks: Sequence[nn.Module],
        steps: Sequence[Step],
        block_contract: BlockContract,
        guidance_pass: GuidancePass,
        rows_taken: list[RowsTaken],
    ) -> None:
        super().__init__(home, blocks, steps, block_contract)
        self._pass, self._rows_taken = guidance_pass, rows_taken

    def run_steps(self, state: State, call: Mapping[str, Any]) -> State:
        """The state after the steps in the rows of the pass, after the position's own block in the others."""
        by_plan = super().run_steps(state, call)
        own = self._call(self._home, state, call)
        rows = len(next(iter(own.values())))
        if rows % 2:
            raise SurgeryError(
                f"a plan in one pass of guidance ({self._pass}) needs a batch of both passes, not one of {rows} rows"
            )
        half = rows // 2
        first = self._pass is GuidancePass.UNCONDITIONAL
        self._rows_taken.append((0 if first else half, half if first else rows, rows))
        return {name: _rows_of(by_plan[name], own[name], half, first=first) for name in own}


def _rows_of(by_plan: Tensor, own: Tensor, half: int, *, first: bool) -> Tensor:
    """(2N, ...) with the ``first`` or the second N rows of ``by_plan``, and the other ones of ``own``."""
    by_plan = by_plan.to(own.device)
    return torch.cat([by_plan[:half], own[half:]] if first else [own[:half], by_plan[half:]])


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
    timing, where model and variant take turns. With a ``guidance_pass`` the plan holds in those rows of the batch
    alone (:class:`OnePassSlot`), and ``rows_taken`` says which they were. Raises PlanError for a plan that doesn't fit,
    SurgeryError for a model whose blocks can't be rearranged, a stack that is already ablated, or something that is
    neither a transformer nor a pipeline with one.
    """

    def __init__(
        self,
        transformer: Any,
        plan: Plan | str,
        stack: str | None = None,
        *,
        force_slots: bool = False,
        guidance_pass: GuidancePass | None = None,
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
        self.rows_taken: list[RowsTaken] = []
        self._slots = _Slots(force_slots, guidance_pass, self.rows_taken)
        if force_slots or not self.plan.is_identity(length):
            self._view = _view(self._model, self.stack, self._attribute, self._original, self.plan, self._slots)

    @property
    def runs(self) -> Plan:
        """The blocks that are called, in their order: the plan's, in one pass of guidance also the stack's own."""
        if self._view is None or self._slots.guidance_pass is None:
            return self.plan
        steps: list[Step] = []
        for position, own in enumerate(align(self.plan, len(self._original))):
            steps += own
            if self._slots.mixes(position, own):
                steps.append(position)
        return Plan(tuple(steps))

    @property
    def mixed_positions(self) -> int:
        """At how many positions rows are taken from the plan's blocks and from the stack's own."""
        placed = enumerate(align(self.plan, len(self._original)))
        return 0 if self._view is None else sum(self._slots.mixes(position, own) for position, own in placed)

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


@dataclass(frozen=True)
class _Slots:
    """How slots are made: at every position or where the plan asks for it, in both passes of guidance or in one."""

    force: bool
    guidance_pass: GuidancePass | None
    rows_taken: list[RowsTaken]

    def mixes(self, position: int, steps: Sequence[Step]) -> bool:
        """Whether the rows of the two passes differ at a position that runs these steps."""
        return self.guidance_pass is not None and (self.force or list(steps) != [position])

    def of(
        self, position: int, blocks: Sequence[nn.Module], steps: Sequence[Step], block_contract: BlockContract
    ) -> Slot:
        """The slot of a position."""
        if self.guidance_pass is None or not self.mixes(position, steps):
            return Slot(blocks[position], blocks, steps, block_contract)
        return OnePassSlot(blocks[position], blocks, steps, block_contract, self.guidance_pass, self.rows_taken)


def _view(
    model: nn.Module, stack: str, attribute: str, original: nn.ModuleList, plan: Plan, slots_of: _Slots
) -> BlockView:
    block_contract = contract(model, attribute)
    if plan.is_partial:
        check_parts(plan, model, attribute, stack, block_contract.outputs)
    blocks = list(original)
    slots: list[Callable[..., Any]] = []
    for position, steps in enumerate(align(plan, len(blocks))):
        plain = not slots_of.force and not slots_of.mixes(position, steps)
        alone = steps[0] if plain and len(steps) == 1 and isinstance(steps[0], int) else None
        # SD3's last block gives no text; anywhere but last the old text must be carried, which a slot does.
        if alone is not None and (alone == position or not getattr(blocks[alone], "context_pre_only", False)):
            # The block itself: a slot around it would cost 25 microseconds a call for nothing.
            slots.append(blocks[alone])
        else:
            slots.append(slots_of.of(position, blocks, steps, block_contract))
    return BlockView(original, slots)

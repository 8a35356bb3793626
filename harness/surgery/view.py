"""Applying a plan to a model: a view on a stack of blocks, put in place by one setattr.

The view shares the original list's modules, so parameters, state_dict, LoRA, saving, ``.to`` and
offload hooks see the model as it is; only iterating over the stack gives something else. Each original
position is a slot that runs 0..k steps (see :func:`harness.ablation.alignment.align`), so that lengths, indices and
whatever the model does per position stay right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.ablation.alignment import align
from harness.ablation.block_parts import index_of
from harness.ablation.guidance import GuidancePass
from harness.ablation.plan import Plan, Step, as_plan, split_stack
from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, diffusers_names, find_stack, put_blocks, transformer_of
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.deferred import deferred_slots, repeated_blocks
from harness.surgery.partial_block import check_parts
from harness.surgery.slot import Slot, State

RowsTaken = tuple[int, int, int]  # from the first to before the second, of so many


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
        self._original = blocks_at(self._model, self._attribute)
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
            put_blocks(self._model, self._attribute, self._view)

    def remove(self) -> None:
        """Put the original list back."""
        if self._view is not None:
            put_blocks(self._model, self._attribute, self._original)

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
    placed = align(plan, len(blocks))
    away = any(index_of(b) != p for p, steps in enumerate(placed) for b in Plan(steps).atoms())
    repeated = repeated_blocks(plan)
    if block_contract.fixed and (away or repeated):
        raise SurgeryError(
            f"stack {stack!r}: the plan '{plan}' runs a block more than once or at another position than its own, and "
            f"in a {type(model).__name__} {block_contract.fixed}; only leaving blocks out, or scaling them, is defined"
        )
    if block_contract.by_block and (away or repeated):
        if slots_of.guidance_pass is not None:
            raise SurgeryError(
                f"stack {stack!r}: the plan '{plan}' moves or repeats blocks that have data of their own "
                f"({', '.join(block_contract.by_block)}), which isn't possible in one pass of guidance"
            )
        return BlockView(original, deferred_slots(plan, blocks, block_contract))
    slots: list[Callable[..., Any]] = []
    for position, steps in enumerate(placed):
        plain = not slots_of.force and not slots_of.mixes(position, steps)
        alone = steps[0] if plain and len(steps) == 1 and isinstance(steps[0], int) else None
        # SD3's last block gives no text; anywhere but last the old text must be carried, which a slot does. And what
        # the model reads from the block at a position (it adds a ControlNet's residual by it) is the position's own.
        if alone is not None and (alone == position or not _last_of_sd3(blocks[alone], blocks[position])):
            # The block itself: a slot around it would cost 25 microseconds a call for nothing.
            slots.append(blocks[alone])
        else:
            slots.append(slots_of.of(position, blocks, steps, block_contract))
    return BlockView(original, slots)


def _last_of_sd3(*blocks: nn.Module) -> bool:
    return any(getattr(block, "context_pre_only", False) for block in blocks)

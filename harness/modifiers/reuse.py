"""Residual reuse: in most denoising steps, a range's last update stands in for the range.

With x the state that enters the range and F(x) the one that leaves it, a computed step keeps F(x) - x, and the steps
that follow give x + (F(x_last) - x_last). By the range and the steps this is FORA, Delta-DiT, BlockDance or a
first-block cache that doesn't look at the images (docs/rivals.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from harness.ablation.plan import Step
from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, find_stack, put_blocks
from harness.modifiers.base import Counts, ModifierRun, Target
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.slot import Slot, State
from harness.surgery.view import BlockView


class ResidualReuse(ModifierRun):
    """The range runs in the first of every ``n`` steps in which the modifier holds, and outside them always."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._every = target.parameters["n"]
        self._step = 0
        self._forward = -1  # within the step: guidance may take two, each with updates of its own
        self._start: State = {}
        self._updates: dict[int, State] = {}
        self._reused = 0

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every block of the range behind a slot, over the model's stack or over the view of a plan."""
        model = self.target.transformer
        stack = self.target.placed.stack
        attribute = find_stack(model, stack)[1]
        before = blocks_at(model, attribute)
        blocks = [before[i] for i in range(len(before))]  # by index: the blocks themselves, also behind a view
        slots: list[Any] = list(before)
        outputs = contract(model, attribute)
        for position in self.target.blocks:
            slots[position] = _RangeSlot(self, blocks[position], slots[position], position, outputs)
        put_blocks(model, attribute, BlockView(before, slots))
        try:
            yield
        finally:
            put_blocks(model, attribute, before)
            self._start, self._updates = {}, {}

    def before_step(self, step: int) -> None:
        """A new step; the first of a batch forgets the updates of the batch before."""
        self._step, self._forward = step, -1
        if step == 0:
            self._updates = {}

    def reuses(self, step: int) -> bool:
        """Whether the range doesn't run in that step."""
        return self.target.holds(step) and (step - self.target.steps[0]) % self._every != 0

    def idle(self, step: int) -> frozenset[int]:
        """The whole range, in steps that reuse its update."""
        return frozenset(self.target.blocks) if self.reuses(step) else frozenset()

    def check(self, counts: Counts) -> None:
        """The update was added in every step that should."""
        steps = sum(self.reuses(step) for step in range(counts.steps))
        if self._reused < steps * counts.batches or (self._reused and not steps):
            raise SurgeryError(
                f"{self.target.placed}: the range's update was reused {self._reused} times, in {counts.batches} "
                f"batches of {counts.steps} denoising steps with {steps} to reuse it in"
            )

    def pass_through(self, position: int, state: State, compute: Callable[[], State]) -> State:
        """The state behind a position of the range: computed, or with the kept update where the range ends."""
        blocks = self.target.blocks
        if position == blocks[0]:
            self._forward += 1
            self._start = state
        if not self.reuses(self._step):
            out = compute()
            if position == blocks[-1]:
                self._updates[self._forward] = {name: out[name] - self._start[name] for name in out}
            return out
        if position != blocks[-1]:
            return state
        self._reused += 1
        update = self._updates[self._forward]
        return {name: state[name] + update[name] for name in state}


class _RangeSlot(Slot):
    """A position of the range: what stood there, or nothing where its update is reused."""

    def __init__(
        self, reuse: ResidualReuse, home: nn.Module, inner: Any, position: int, block_contract: BlockContract
    ) -> None:
        super().__init__(home, _Only(position, inner), (position,), block_contract)
        self._reuse, self._position = reuse, position

    def run_step(self, step: Step, state: State, call: Mapping[str, Any]) -> State:
        """As a slot's, unless the range's update is reused."""
        return self._reuse.pass_through(
            self._position, state, lambda: super(_RangeSlot, self).run_step(step, state, call)
        )


class _Only(Sequence[Any]):
    """One thing at its position; a slot asks for no other."""

    def __init__(self, position: int, inner: Any) -> None:
        self._position, self._inner = position, inner

    def __getitem__(self, index: Any) -> Any:
        if index != self._position:
            raise IndexError(index)
        return self._inner

    def __len__(self) -> int:
        return self._position + 1

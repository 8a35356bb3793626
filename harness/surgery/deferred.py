"""Plans that move blocks whose data comes by index: the loop is only watched, and the plan runs at its last position.

Chroma slices each block's modulation out of one tensor by the loop's index, Qwen-Image 2.1 and FLUX.2 hand each block
its key-value cache: such data belongs to the block. A block that runs ahead of its own position needs what the model
hasn't yet passed. So the slots before the last one note what they are called with and return the state as it came; the
last one runs the whole plan, each block with the data of its own position.

That is the same as the plan only where nothing else changes the state between the blocks, which is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.ablation.block_parts import index_of
from harness.ablation.plan import Plan, Step
from harness.errors import SurgeryError
from harness.surgery.block_contract import BlockContract
from harness.surgery.slot import Slot, State


class Notes:
    """What the positions of one forward were called with, and the state that the loop began with."""

    def __init__(self, by_block: tuple[str, ...]) -> None:
        self._by_block = by_block
        self._calls: dict[int, dict[str, Any]] = {}
        self._start: State = {}

    def take(self, position: int, call: Mapping[str, Any], state: State) -> None:
        """Note one position; the first one begins a forward."""
        if position == 0:
            self._calls.clear()
            self._start = {name: value.clone() for name, value in state.items()}
        # Copies: FLUX.2 passes one dictionary to all blocks and changes its entry for each.
        self._calls[position] = {
            name: dict(call[name]) if isinstance(call[name], dict) else call[name]
            for name in self._by_block
            if name in call
        }

    def of(self, index: int, call: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a block, from those at the position where it runs. Raises SurgeryError without its own."""
        return {name: value for name, value in call.items() if name not in self._by_block} | self.own(index)

    def own(self, index: int) -> dict[str, Any]:
        """What belongs to a block, of its arguments. Raises SurgeryError where the model didn't call its position."""
        if index not in self._calls:
            raise SurgeryError(f"the model didn't call position {index}, so what block {index} takes isn't known")
        return self._calls[index]

    def caches(self, index: int) -> list[str]:
        """The arguments in which a block keeps something from one run to the next."""
        return [name for name, value in self.own(index).items() if _keeps_state(value)]

    def changed(self, state: State) -> list[str]:
        """The names in a state that isn't any more what the loop began with."""
        return [name for name, value in state.items() if not torch.equal(value, self._start[name])]

    def check_unchanged(self, state: State) -> None:
        """Raise SurgeryError where the state isn't what the loop began with."""
        if changed := self.changed(state):
            raise SurgeryError(
                f"the model changes {' and '.join(changed)} between its blocks (a ControlNet's residuals, say), and "
                f"{', '.join(self._by_block)} belongs to each block: a plan that moves blocks has no meaning then; "
                "leave blocks out in their order, or run without what changes it"
            )

    def check_no_cache(self, index: int) -> None:
        """Raise SurgeryError where a block that runs twice keeps something, which its second run would overwrite."""
        kept = self.caches(index)
        if kept:
            raise SurgeryError(
                f"block {index} runs more than once, and it has one cache ({', '.join(kept)}), which its last run "
                "overwrites; run without the cache, or each block once"
            )


class Watching(Slot):
    """A slot that runs no block: it notes what its position is called with."""

    def __init__(self, position: int, notes: Notes, blocks: Sequence[nn.Module], contract: BlockContract) -> None:
        super().__init__(blocks[position], blocks, (), contract)
        self._position, self._notes = position, notes

    def run_steps(self, state: State, call: Mapping[str, Any]) -> State:
        """The state as it came."""
        self._notes.take(self._position, call, state)
        return state


class _RunningAll(Slot):
    """The slot of the last position, which runs the plan."""

    def __init__(self, plan: Plan, notes: Notes, blocks: Sequence[nn.Module], contract: BlockContract) -> None:
        steps: tuple[Step, ...] = plan.steps
        super().__init__(blocks[-1], blocks, steps, contract)
        self._notes = notes
        self._repeated = repeated_blocks(plan)

    def run_steps(self, state: State, call: Mapping[str, Any]) -> State:
        """The state after the whole plan."""
        self._notes.take(len(self._blocks) - 1, call, state)
        self._notes.check_unchanged(state)
        for index in self._repeated:
            self._notes.check_no_cache(index)
        return super().run_steps(state, call)

    def call_of(self, index: int, call: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments with what belongs to the block."""
        return self._notes.of(index, call)


def repeated_blocks(plan: Plan) -> list[int]:
    """The blocks that run more than once, in ascending order."""
    indices = [index_of(block) for block in plan.atoms()]
    return sorted({index for index in indices if indices.count(index) > 1})


def deferred_slots(plan: Plan, blocks: Sequence[nn.Module], contract: BlockContract) -> list[Slot]:
    """A slot for each position, of which the last one runs the plan."""
    notes = Notes(contract.by_block)
    watching: list[Slot] = [Watching(position, notes, blocks, contract) for position in range(len(blocks) - 1)]
    return [*watching, _RunningAll(plan, notes, blocks, contract)]


def _keeps_state(value: Any) -> bool:
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return False
    if isinstance(value, Mapping):
        return any(_keeps_state(v) for v in value.values())
    return any(_keeps_state(v) for v in value) if isinstance(value, list | tuple) else True

"""A transformer's forward in parts: what a stack's first block takes, and what follows from a stack's last state.

The model's own forward runs between the stacks, with their blocks replaced by what they would return, so that nothing
of it is written anew. A state holds the tensors that one block returns and the next one takes, by the names of the
block's arguments. Where arguments belong to each block (Chroma's modulation, docs/models.md), they are noted at every
position before any block runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.ablation.plan import Step
from harness.errors import SurgeryError
from harness.models.forward_output import output_of
from harness.models.stacks import blocks_at, put_blocks, stacks, unwrap_compiled
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.deferred import Notes, Watching
from harness.surgery.slot import Slot, State
from harness.surgery.view import BlockView


@dataclass(frozen=True)
class StackCall:
    """What the blocks of a stack are called with.

    ``arguments`` are those of one block, the state that the stack begins with among them; ``own`` are each block's own,
    which take their place, empty where all blocks are called alike.
    """

    arguments: Mapping[str, Any]
    own: tuple[Mapping[str, Any], ...] = ()


class Stack(NamedTuple):
    """One stack of the model as it is; ``empty`` are slots in the place of its blocks that run none of them."""

    name: str
    attribute: str
    blocks: nn.ModuleList
    contract: BlockContract
    empty: Sequence[Slot]

    def start(self, call: StackCall) -> State:
        """The state that the first block takes."""
        return {name: call.arguments[name] for name in self.contract.outputs}

    def run_step(self, step: Step, state: State, call: StackCall) -> State:
        """The state after one step of a plan; ``call`` is of :meth:`StackStates.call_of`."""
        slot = _SlotOfOwn(self, call.own) if call.own else self.empty[0]
        return slot.run_step(step, state, call.arguments)


class StackStates:
    """A transformer whose stacks can be run from outside, one after the other.

    Raises SurgeryError for a model that is under a plan already, or whose blocks depend on their position.
    """

    def __init__(self, transformer: nn.Module) -> None:
        self._transformer = transformer
        self._model = unwrap_compiled(transformer)
        self._watched: set[str] = set()
        self.stacks = tuple(self._stack(name, attribute) for name, attribute in stacks(self._model).items())

    @property
    def lengths(self) -> dict[str, int]:
        """The number of blocks of each stack, in the order of the model."""
        return {stack.name: len(stack.blocks) for stack in self.stacks}

    def call_of(self, arguments: Mapping[str, Any], ends: Sequence[State]) -> StackCall:
        """What the blocks of a stack are called with, where those before it end with these states.

        ``arguments`` are those of the transformer's forward; ``ends`` is empty for the first stack. Raises SurgeryError
        where the model changes the state between the blocks, or where a block has a cache.
        """
        stack = self.stacks[len(ends)]
        blocks, notes = list(stack.blocks), Notes(stack.contract.by_block)
        # Blocks that are called alike are known by the first one; that nothing else changes the state is seen once.
        whole_loop = stack.contract.by_block or stack.name not in self._watched
        last = len(blocks) - 1 if whole_loop else 0
        slots = [Watching(position, notes, blocks, stack.contract) for position in range(last)]
        stop = _Stop(last, notes, blocks, stack.contract)
        try:
            with self._in_place(ends, [*slots, stop, *stack.empty[last + 1 :]]):
                self._transformer(**arguments)
        except _Reached as reached:
            call = StackCall(reached.call)
            if whole_loop:
                _check_unchanged(stack, notes, stack.start(call))
                self._watched.add(stack.name)
            return replace(call, own=_own(stack, notes))
        raise SurgeryError(f"no block of {stack.attribute!r} ran")

    def output_after(self, arguments: Mapping[str, Any], ends: Sequence[State]) -> Tensor:
        """The transformer's output where the stacks end with these states."""
        with self._in_place(ends):
            return output_of(self._transformer, arguments)

    def _stack(self, name: str, attribute: str) -> Stack:
        blocks = blocks_at(self._model, attribute)
        if isinstance(blocks, BlockView):
            raise SurgeryError(f"stack {name!r} is already under a plan; leave that context first")
        block_contract = contract(self._model, attribute)
        if block_contract.fixed:
            raise SurgeryError(
                f"stack {name!r} can't be run apart from its model, which its blocks depend on ({block_contract.fixed})"
            )
        empty = [Slot(home, list(blocks), (), block_contract) for home in blocks]
        return Stack(name, attribute, blocks, block_contract, empty)

    @contextmanager
    def _in_place(self, ends: Sequence[State], slots: Sequence[Slot] = ()) -> Iterator[None]:
        """The first stacks without blocks, each ending with its state; ``slots`` in the next one."""
        views: list[Sequence[Slot]] = [
            [_StoredState(stack.blocks[0], end, stack.contract), *stack.empty[1:]]
            for stack, end in zip(self.stacks, ends, strict=False)
        ]
        try:
            for stack, view in zip(self.stacks, [*views, slots] if slots else views, strict=False):
                put_blocks(self._model, stack.attribute, BlockView(stack.blocks, view))
            yield
        finally:
            for stack in self.stacks:
                put_blocks(self._model, stack.attribute, stack.blocks)


class _Reached(Exception):  # noqa: N818 - no error: it ends a forward where a stack begins
    """A forward came to the first block of a stack; the arguments that it was called with."""

    def __init__(self, call: Mapping[str, Any]) -> None:
        self.call = call


class _Stop(Slot):
    """A slot that notes what its position is called with and ends the forward."""

    def __init__(self, position: int, notes: Notes, blocks: Sequence[nn.Module], contract: BlockContract) -> None:
        super().__init__(blocks[position], blocks, (), contract)
        self._position, self._notes = position, notes

    def run_steps(self, state: State, call: Mapping[str, Any]) -> State:
        self._notes.take(self._position, call, state)
        raise _Reached({**call, **state})


class _SlotOfOwn(Slot):
    """A slot that calls each block with its own arguments."""

    def __init__(self, stack: Stack, own: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(stack.blocks[0], list(stack.blocks), (), stack.contract)
        self._own = own

    def call_of(self, index: int, call: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments with those of the block in their place."""
        return {**call, **self._own[index]}


def _check_unchanged(stack: Stack, notes: Notes, state: State) -> None:
    """Raise SurgeryError where a stack's loop, in which no block ran, doesn't end with the state that it began with."""
    if changed := notes.changed(state):
        raise SurgeryError(
            f"stack {stack.name!r} can't be run apart from its model, which changes {' and '.join(changed)} between "
            "its blocks (by blocks of another stack or a ControlNet's residuals, say)"
        )


def _own(stack: Stack, notes: Notes) -> tuple[Mapping[str, Any], ...]:
    """The arguments that belong to each block of a stack."""
    if not stack.contract.by_block:
        return ()
    for index in range(len(stack.blocks)):
        if caches := notes.caches(index):
            raise SurgeryError(
                f"stack {stack.name!r}: block {index} has a cache ({', '.join(caches)}), and to compare plans it runs "
                "many times on different input, each time with what the one before left there; run without the cache"
            )
    return tuple(notes.own(index) for index in range(len(stack.blocks)))


class _StoredState(Slot):
    """A slot that runs no block and returns a stored state, whatever its input."""

    def __init__(self, home: nn.Module, state: State, block_contract: BlockContract) -> None:
        super().__init__(home, (), (), block_contract)
        values = tuple(state[name] for name in block_contract.outputs)
        self._output = values[0] if block_contract.single else values

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """The state, in the form that the block at this position returns."""
        return self._output

"""A transformer's forward in parts: what a stack's first block takes, and what follows from a stack's last state.

The model's own forward runs between the stacks, with their blocks replaced by what they would return, so that nothing
of it is written anew. A state holds the tensors that one block returns and the next one takes, by the names of the
block's arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.ablation.plan import Step
from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, put_blocks, stacks, unwrap_compiled
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.slot import Slot, State
from harness.surgery.view import BlockView


class Stack(NamedTuple):
    """One stack of the model as it is; ``empty`` are slots in the place of its blocks that run none of them."""

    name: str
    attribute: str
    blocks: nn.ModuleList
    contract: BlockContract
    empty: Sequence[Slot]

    def start(self, call: Mapping[str, Any]) -> State:
        """The state that the first block takes, from the arguments that it is called with."""
        return {name: call[name] for name in self.contract.outputs}

    def run_step(self, step: Step, state: State, call: Mapping[str, Any]) -> State:
        """The state after one step of a plan; ``call`` are the arguments of :meth:`StackStates.call_of`."""
        return self.empty[0].run_step(step, state, call)


class StackStates:
    """A transformer whose stacks can be run from outside, one after the other.

    Raises SurgeryError for a model that is under a plan already, or whose blocks get other data at each position.
    """

    def __init__(self, transformer: nn.Module) -> None:
        self._transformer = transformer
        self._model = unwrap_compiled(transformer)
        self.stacks = tuple(self._stack(name, attribute) for name, attribute in stacks(self._model).items())

    @property
    def lengths(self) -> dict[str, int]:
        """The number of blocks of each stack, in the order of the model."""
        return {stack.name: len(stack.blocks) for stack in self.stacks}

    def call_of(self, depth: int, arguments: Mapping[str, Any], end: State | None) -> Mapping[str, Any]:
        """The arguments of the first block of stack ``depth``, where the stack before it ends with a state.

        ``arguments`` are those of the transformer's forward; ``end`` is None for the first stack.
        """
        stack = self.stacks[depth]
        stop = _Stop(stack.blocks[0], list(stack.blocks), (0,), stack.contract)
        try:
            with self._in_place(depth, end, [stop, *stack.empty[1:]]):
                self._transformer(**arguments)
        except _Reached as reached:
            return reached.call
        raise SurgeryError(f"no block of {stack.attribute!r} ran")

    def output_after(self, arguments: Mapping[str, Any], end: State | None) -> Tensor:
        """The transformer's output where the last stack ends with that state."""
        with self._in_place(len(self.stacks), end):
            output: Tensor = self._transformer(**arguments)[0]
        return output

    def _stack(self, name: str, attribute: str) -> Stack:
        blocks = blocks_at(self._model, attribute)
        if isinstance(blocks, BlockView):
            raise SurgeryError(f"stack {name!r} is already under a plan; leave that context first")
        block_contract = contract(self._model, attribute)
        if block_contract.by_block or block_contract.fixed:
            reason = block_contract.fixed or f"{', '.join(block_contract.by_block)} by index"
            raise SurgeryError(
                f"stack {name!r} can't be run apart from its model, which its blocks depend on ({reason})"
            )
        empty = [Slot(home, list(blocks), (), block_contract) for home in blocks]
        return Stack(name, attribute, blocks, block_contract, empty)

    @contextmanager
    def _in_place(self, depth: int, end: State | None, slots: Sequence[Slot] = ()) -> Iterator[None]:
        """The stacks before ``depth`` without blocks, the last of them ending with a state; ``slots`` at ``depth``."""
        views = [stack.empty for stack in self.stacks[:depth]]
        if end is not None:
            last = self.stacks[depth - 1]
            views[-1] = [_StoredState(last.blocks[0], end, last.contract), *last.empty[1:]]
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
    """A slot that ends the forward."""

    def run_step(self, _step: Step, state: State, call: Mapping[str, Any]) -> State:
        raise _Reached({**call, **state})


class _StoredState(Slot):
    """A slot that runs no block and returns a stored state, whatever its input."""

    def __init__(self, home: nn.Module, state: State, block_contract: BlockContract) -> None:
        super().__init__(home, (), (), block_contract)
        values = tuple(state[name] for name in block_contract.outputs)
        self._output = values[0] if block_contract.single else values

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """The state, in the form that the block at this position returns."""
        return self._output

"""The transformer's output without each subset of its blocks, in batches of subsets.

Subsets that agree on the blocks before some block share its input, so that L blocks take 2^L - 1 block runs instead of
the L 2^(L - 1) of one subset after the other: block i runs once for each of the 2^i subsets of the blocks before it.
The walk goes through the blocks in the order of the model with the states of some subsets in one batch; each block
doubles them, into those with and those without it. A batch that would grow beyond what may run together is split in
two, of which one waits; so there are never more than one waiting batch a block.

Rows of a batch don't meet in a transformer, so a subset's output is that of a forward of its own but for rounding:
matrix products of another size are summed in another order. :func:`harness.surgery.prefix_walk.walk` is the slow
reference, bitwise exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.errors import SurgeryError
from harness.surgery.slot import State
from harness.surgery.stack_states import StackCall, StackStates


class SubsetOutputs(NamedTuple):
    """Outputs (M, N, ...) of N inputs without M subsets; bit i of a subset's number is block i, left out.

    Blocks are numbered through the stacks in the order of the model.
    """

    subsets: tuple[int, ...]
    output: Tensor


def walk_subsets(transformer: nn.Module, arguments: Mapping[str, Any], *, together: int = 8) -> Iterator[SubsetOutputs]:
    """The outputs of a transformer without each subset of its blocks, on the same inputs; each subset once.

    ``arguments`` are those of the transformer's forward with N rows: tensors of N rows are repeated for each subset,
    all others go in as they are. ``together`` is how many subsets are run in one batch at most. Raises SurgeryError for
    a model that is under a plan already, or that doesn't take one tensor of ``hidden_states``.
    """
    model = StackStates(transformer)
    yield from _Walk(model, arguments, together).from_stack((0,), (), 0)


def subset_block_runs(blocks: int) -> int:
    """How many runs of a block, on all inputs, the subsets of so many blocks take where they share what they can."""
    return int(2**blocks - 1)


class _Walk:
    """One walk: the model, its input repeated for any number of subsets, and how many run together."""

    def __init__(self, model: StackStates, arguments: Mapping[str, Any], together: int) -> None:
        self._model, self._arguments, self._together = model, arguments, together
        if not isinstance(arguments.get("hidden_states"), Tensor):
            raise SurgeryError(
                "only a transformer whose forward takes one tensor of hidden_states has subsets in one batch"
            )
        self._rows = len(arguments["hidden_states"])

    def from_stack(self, subsets: tuple[int, ...], ends: tuple[State, ...], first: int) -> Iterator[SubsetOutputs]:
        """All subsets that agree with ``subsets`` on the stacks that end with ``ends``.

        The first block of the next stack is number ``first``.
        """
        arguments = _repeated(self._arguments, self._rows, len(subsets))
        if len(ends) == len(self._model.stacks):
            output = self._model.output_after(arguments, ends)
            yield SubsetOutputs(subsets, output.reshape(len(subsets), self._rows, *output.shape[1:]))
            return
        call = self._model.call_of(arguments, ends)
        start = self._model.stacks[len(ends)].start(call)
        yield from self._from_block(_Place(0, first), subsets, ends, call, start)

    def _from_block(
        self, place: _Place, subsets: tuple[int, ...], ends: tuple[State, ...], call: StackCall, state: State
    ) -> Iterator[SubsetOutputs]:
        """All subsets that agree with ``subsets`` before a block, which takes that state."""
        stack = self._model.stacks[len(ends)]
        if place.block == len(stack.blocks):
            yield from self.from_stack(subsets, (*ends, state), place.first + place.block)
            return
        after = stack.run_step(place.block, state, call)
        without = tuple(subset | 1 << (place.first + place.block) for subset in subsets)
        following = place._replace(block=place.block + 1)
        if 2 * len(subsets) <= self._together:
            both = {name: torch.cat([after[name], state[name]]) for name in state}
            call = _call_repeated(call, self._rows * len(subsets), 2)
            ends = tuple({name: torch.cat([value, value]) for name, value in end.items()} for end in ends)
            yield from self._from_block(following, subsets + without, ends, call, both)
        else:
            yield from self._from_block(following, subsets, ends, call, after)
            yield from self._from_block(following, without, ends, call, state)


class _Place(NamedTuple):
    """A block: its place in its stack, and the number of the stack's first block among all."""

    block: int
    first: int


def _repeated(arguments: Mapping[str, Any], rows: int, times: int) -> dict[str, Any]:
    """The arguments of a call on so many rows for ``times`` as many: tensors of that length repeated."""
    return {
        name: torch.cat([value] * times) if isinstance(value, Tensor) and value.ndim and len(value) == rows else value
        for name, value in arguments.items()
    }


def _call_repeated(call: StackCall, rows: int, times: int) -> StackCall:
    """What the blocks are called with on so many rows, for ``times`` as many."""
    own = tuple(_repeated(arguments, rows, times) for arguments in call.own)
    return StackCall(_repeated(call.arguments, rows, times), own)

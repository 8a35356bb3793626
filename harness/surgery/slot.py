"""What stands at one position of a stack under a plan: some steps over the stack's blocks, called like a block."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from harness.ablation.block_parts import Atom
from harness.ablation.plan import Combine, Group, Step
from harness.surgery.block_contract import BlockContract
from harness.surgery.partial_block import take, without

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
            return self._call(self._blocks[block], state, self.call_of(block, call))
        if not block.runs:
            return state
        module = self._blocks[block.index]
        with without(module, block.cut):
            after = self._call(module, state, self.call_of(block.index, call))
        return take(module, block, state, after)

    def call_of(self, _index: int, call: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments that a block gets here: those of the position."""
        return call

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

"""Slow references for plans: plain ModuleLists of plain modules, which know nothing of plans, slots or views."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.models.stacks import blocks_at, put_blocks
from harness.surgery.block_contract import BlockContract

State = dict[str, Tensor]
Call = Mapping[str, Any]


class _Plain(nn.Module):
    """Stands at a position: takes what its block takes, and returns what ``run`` makes of it."""

    def __init__(self, home: nn.Module, contract: BlockContract, run: Callable[[State, Call], State]) -> None:
        super().__init__()
        self.home, self._contract, self._run = home, contract, run
        self._signature = inspect.signature(type(home).forward)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("home"), name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The position's own block would do this otherwise."""
        call = self._signature.bind(self.home, *args, **kwargs).arguments
        call.pop(next(iter(self._signature.parameters)))
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                call |= call.pop(name, {})
        state = self._run({name: call[name] for name in self._contract.outputs}, call)
        values = [state[name] for name in self._contract.outputs]
        return values[0] if self._contract.single else tuple(values)


def called(block: nn.Module, contract: BlockContract, state: State, call: Call) -> State:
    """The state after one block; an output that is None (SD3's last block gives no text) leaves what there was."""
    out = block(**{**call, **state})
    values = [out] if contract.single else list(out)
    return {name: state[name] if value is None else value for name, value in zip(contract.outputs, values, strict=True)}


@contextmanager
def in_place(model: nn.Module, attribute: str, modules: Sequence[nn.Module]) -> Iterator[None]:
    """A model whose list really holds these modules."""
    original = blocks_at(model, attribute)
    put_blocks(model, attribute, nn.ModuleList(modules))
    try:
        yield
    finally:
        put_blocks(model, attribute, original)


def without(blocks: Sequence[nn.Module], index: int, contract: BlockContract) -> list[nn.Module]:
    """The blocks, with one that hands on what it gets in the place of one of them."""
    passing = _Plain(blocks[index], contract, lambda state, _: state)
    return [passing if i == index else block for i, block in enumerate(blocks)]


def reordered(blocks: Sequence[nn.Module], order: Sequence[int], contract: BlockContract) -> list[nn.Module]:
    """The blocks in another order, each with what the model passes at the position where it now stands."""

    def of(block: nn.Module) -> Callable[[State, Call], State]:
        return lambda state, call: called(block, contract, state, call)

    return [_Plain(home, contract, of(blocks[i])) for home, i in zip(blocks, order, strict=True)]


def side_by_side(blocks: Sequence[nn.Module], pair: tuple[int, int], contract: BlockContract) -> list[nn.Module]:
    """Two neighbours that run on the same input, and the mean of both, at the first one's position."""
    first, second = pair

    def mean(state: State, call: Call) -> State:
        ends = [called(blocks[i], contract, state, call) for i in pair]
        return {name: (ends[0][name] + ends[1][name]) / 2 for name in state}

    row = without(blocks, second, contract)
    row[first] = _Plain(blocks[first], contract, mean)
    return row


def each_with_its_own(
    blocks: Sequence[nn.Module], groups: Sequence[Sequence[int]], contract: BlockContract, calls: Sequence[Call]
) -> list[nn.Module]:
    """The whole plan in a plain loop at the last position: groups of blocks side by side, averaged.

    ``calls`` are what the model passed to each block in an earlier forward, of which each takes what belongs to it.
    """

    def whole(state: State, call: Call) -> State:
        for group in groups:
            ends = [
                called(
                    blocks[i], contract, state, {**call, **{n: calls[i][n] for n in contract.by_block if n in calls[i]}}
                )
                for i in group
            ]
            state = {n: ends[0][n] if len(ends) == 1 else (ends[0][n] + ends[1][n]) / 2 for n in state}
        return state

    passing: list[nn.Module] = [_Plain(block, contract, lambda state, _: state) for block in blocks[:-1]]
    return [*passing, _Plain(blocks[-1], contract, whole)]


@contextmanager
def calls_noted(blocks: Sequence[nn.Module]) -> Iterator[list[dict[str, Any]]]:
    """What each block is called with, one after another; a dictionary is copied as it is at that moment."""
    noted: list[dict[str, Any]] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = dict(inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments)
        noted.append({name: dict(value) if isinstance(value, dict) else value for name, value in call.items()})

    handles = [block.register_forward_pre_hook(note, with_kwargs=True) for block in blocks]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


def same(a: Any, b: Any) -> bool:
    """Whether two outputs of a forward are bitwise the same, through lists, tuples and dictionaries."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a is None and b is None

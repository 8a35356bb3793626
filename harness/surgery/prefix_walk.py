"""Many plans on one input, with the blocks that they begin with run once.

Plans over all stacks of a model are sequences of steps: those of the first stack, then those of the next. Laid beside
each other from their first step on they form a tree (a trie), in which every edge is a step that has to run, once for
all plans that go through it. The walk goes down the tree, depth first, and keeps only the states on its path: one for
each step of the longest plan. All subsets of L skipped blocks are 2^(L + 1) - 2 block runs so, where one plan after the
other takes L 2^(L - 1).

Between stacks and after the last one the model's own forward runs, with the blocks replaced by what they would return;
so the result is bitwise that of a forward under the plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.ablation.plan import Plan, Step, identity
from harness.ablation.plan import block_runs as runs_of_step
from harness.errors import SurgeryError
from harness.models.stacks import stacks, unwrap_compiled
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.view import BlockView, Slot, State


class PlanOutput(NamedTuple):
    """The transformer's output (N, ...) under the plan of that number, from 0."""

    plan: int
    output: Tensor


@dataclass
class _Node:
    """A place in the tree: the steps that go on from here, and under None the next stack of plans that end here.

    They are in the order of the first plan that takes each; ``plans`` are those that end with the last stack.
    """

    steps: dict[Step | None, _Node] = field(default_factory=dict["Step | None", "_Node"])
    plans: list[int] = field(default_factory=list[int])


class _Stack(NamedTuple):
    """One stack of the model as it is; ``empty`` are slots in the place of its blocks that run none of them."""

    attribute: str
    blocks: nn.ModuleList
    contract: BlockContract
    empty: Sequence[Slot]


def walk(
    transformer: nn.Module, arguments: Mapping[str, Any], plans: Sequence[Mapping[str, Plan]]
) -> Iterator[PlanOutput]:
    """The outputs of a transformer under each of some plans, on the same inputs; each plan once, the first one first.

    ``arguments`` are those of the transformer's forward; a plan maps names of stacks to what runs there, and a stack
    that it doesn't name runs as it is. Raises SurgeryError for a stack that the model lacks and for a model that is
    under a plan already, PlanError for a block that a stack lacks.
    """
    if not plans:
        return
    model = unwrap_compiled(transformer)
    parts = _stacks_of(model)
    root = _tree(plans, {name: len(part.blocks) for name, part in parts.items()})
    yield from _below(_Model(transformer, model, arguments, list(parts.values())), root, 0, None)


def block_runs(lengths: Mapping[str, int], plans: Sequence[Mapping[str, Plan]]) -> int:
    """How many runs of a block :func:`walk` makes, for stacks of those lengths in the order of the model."""
    return _runs(_tree(plans, lengths))


def _runs(node: _Node) -> int:
    return sum((0 if step is None else runs_of_step(step)) + _runs(child) for step, child in node.steps.items())


def _stacks_of(model: nn.Module) -> dict[str, _Stack]:
    parts: dict[str, _Stack] = {}
    for name, attribute in stacks(model).items():
        blocks = getattr(model, attribute)
        if isinstance(blocks, BlockView):
            raise SurgeryError(f"stack {name!r} is already under a plan; leave that context first")
        block_contract = contract(model, attribute)
        empty = [Slot(home, list(blocks), (), block_contract) for home in blocks]
        parts[name] = _Stack(attribute, blocks, block_contract, empty)
    return parts


def _tree(plans: Sequence[Mapping[str, Plan]], lengths: Mapping[str, int]) -> _Node:
    """The tree of all plans."""
    root = _Node()
    for number, plan in enumerate(plans):
        if unknown := [name for name in plan if name not in lengths]:
            raise SurgeryError(f"there is no stack {unknown[0]!r}; the model has {', '.join(lengths)}")
        node = root
        for name, length in lengths.items():
            own = plan.get(name, identity(length)).normal()
            own.check(length, name)
            for step in (*own.steps, None):
                node = node.steps.setdefault(step, _Node())
        node.plans.append(number)
    return root


@dataclass(frozen=True)
class _Model:
    """A transformer with the arguments of its forward, and its stacks in order."""

    transformer: nn.Module
    model: nn.Module
    arguments: Mapping[str, Any]
    parts: Sequence[_Stack]


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


def _below(on: _Model, root: _Node, depth: int, end: State | None) -> Iterator[PlanOutput]:
    """The plans below the root of a stack's tree; ``end`` is the state after the stack before it."""
    if depth == len(on.parts):
        output = _output_after(on, end)
        yield from (PlanOutput(number, output) for number in root.plans)
        return
    part = on.parts[depth]
    call = _call_of(on, depth, end)
    start: State = {name: call[name] for name in part.contract.outputs}
    yield from _steps(on, root, depth, call, start)


def _steps(on: _Model, node: _Node, depth: int, call: Mapping[str, Any], state: State) -> Iterator[PlanOutput]:
    """The plans at and below a place in the tree of one stack, where the stack has that state."""
    slot = on.parts[depth].empty[0]
    for step, child in node.steps.items():
        if step is None:
            yield from _below(on, child, depth + 1, state)
        else:
            yield from _steps(on, child, depth, call, slot.run_step(step, state, call))


def _call_of(on: _Model, depth: int, end: State | None) -> Mapping[str, Any]:
    """The arguments that the first block of a stack is called with, where the stack before it ends with a state."""
    part = on.parts[depth]
    stop = _Stop(part.blocks[0], list(part.blocks), (0,), part.contract)
    try:
        with _in_place(on, depth, end, [stop, *part.empty[1:]]):
            on.transformer(**on.arguments)
    except _Reached as reached:
        return reached.call
    raise SurgeryError(f"no block of {part.attribute!r} ran")


def _output_after(on: _Model, end: State | None) -> Tensor:
    """The model's output where the last stack ends with that state."""
    with _in_place(on, len(on.parts), end):
        output: Tensor = on.transformer(**on.arguments)[0]
    return output


@contextmanager
def _in_place(on: _Model, depth: int, end: State | None, slots: Sequence[Slot] = ()) -> Iterator[None]:
    """The stacks before ``depth`` without blocks, the last of them ending with a state; ``slots`` at ``depth``."""
    views = [part.empty for part in on.parts[:depth]]
    if end is not None:
        last = on.parts[depth - 1]
        views[-1] = [_StoredState(last.blocks[0], end, last.contract), *last.empty[1:]]
    try:
        for part, view in zip(on.parts, [*views, slots] if slots else views, strict=False):
            setattr(on.model, part.attribute, BlockView(part.blocks, view))
        yield
    finally:
        for part in on.parts:
            setattr(on.model, part.attribute, part.blocks)

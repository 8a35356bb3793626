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

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.ablation.plan import Plan, Step, identity
from harness.errors import SurgeryError
from harness.models.stacks import stacks, unwrap_compiled
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.view import BlockView, Slot, State


class Walked(NamedTuple):
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
    """One stack of the model as it is."""

    attribute: str
    blocks: nn.ModuleList
    contract: BlockContract


def walk(transformer: nn.Module, arguments: Mapping[str, Any], plans: Sequence[Mapping[str, Plan]]) -> Iterator[Walked]:
    """The outputs of a transformer under each of some plans, on the same inputs; each plan once, the first one first.

    ``arguments`` are those of the transformer's forward; a plan maps names of stacks to what runs there, and a stack
    that it doesn't name runs as it is. Raises SurgeryError for a stack that the model lacks and for a model that is
    under a plan already, PlanError for a block that a stack lacks.
    """
    model = unwrap_compiled(transformer)
    parts = _stacks_of(model)
    root = _tree(plans, parts)
    if root is not None:
        yield from _below(_Model(transformer, model, arguments, list(parts.values())), root, 0, None)


def block_runs(lengths: Mapping[str, int], plans: Sequence[Mapping[str, Plan]]) -> int:
    """How many runs of a block :func:`walk` makes, for stacks of those lengths in the order of the model."""
    root = _plan_tree(plans, lengths)
    return 0 if root is None else _runs(root)


def _runs(node: _Node) -> int:
    return sum(_cost(step) + _runs(child) for step, child in node.steps.items())


def _cost(step: Step | None) -> int:
    if step is None:
        return 0
    return 1 if isinstance(step, int) else step.runs


def _stacks_of(model: nn.Module) -> dict[str, _Stack]:
    parts: dict[str, _Stack] = {}
    for name, attribute in stacks(model).items():
        blocks = getattr(model, attribute)
        if isinstance(blocks, BlockView):
            raise SurgeryError(f"stack {name!r} is already under a plan; leave that context first")
        parts[name] = _Stack(attribute, blocks, contract(model, attribute))
    return parts


def _tree(plans: Sequence[Mapping[str, Plan]], parts: Mapping[str, _Stack]) -> _Node | None:
    return _plan_tree(plans, {name: len(part.blocks) for name, part in parts.items()})


def _plan_tree(plans: Sequence[Mapping[str, Plan]], lengths: Mapping[str, int]) -> _Node | None:
    """The tree of all plans; None where there are none."""
    root = _Node() if plans else None
    for index, plan in enumerate(plans):
        if unknown := [name for name in plan if name not in lengths]:
            raise SurgeryError(f"there is no stack {unknown[0]!r}; the model has {', '.join(lengths)}")
        node = root
        for name, length in lengths.items():
            own = plan.get(name, identity(length)).normal()
            own.check(length, name)
            assert node is not None
            for step in (*own.steps, None):
                node = node.steps.setdefault(step, _Node())
        assert node is not None
        node.plans.append(index)
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


class StoredState(Slot):
    """A slot that runs no block and returns a stored state, whatever its input."""

    def __init__(self, home: nn.Module, state: State, block_contract: BlockContract) -> None:
        super().__init__(home, (), (), block_contract)
        values = tuple(state[name] for name in block_contract.outputs)
        self._output = values[0] if block_contract.single else values

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """The state, in the form that the block at this position returns."""
        return self._output


def _below(on: _Model, root: _Node, depth: int, end: State | None) -> Iterator[Walked]:
    """The plans below the root of a stack's tree; ``end`` is the state after the stack before it."""
    if depth == len(on.parts):
        output: Tensor | None = None
        for index in root.plans:
            output = _finished(on, end) if output is None else output
            yield Walked(index, output)
        return
    part = on.parts[depth]
    call = _call_of(on, depth, end)
    start: State = {name: call[name] for name in part.contract.outputs}
    slot = Slot(part.blocks[0], list(part.blocks), (), part.contract)
    yield from _steps(on, root, depth, slot, call, start)


def _steps(on: _Model, node: _Node, depth: int, slot: Slot, call: Mapping[str, Any], state: State) -> Iterator[Walked]:
    """The plans at and below a place in the tree of one stack, where the stack has that state."""
    for step, child in node.steps.items():
        if step is None:
            yield from _below(on, child, depth + 1, state)
        else:
            yield from _steps(on, child, depth, slot, call, slot.run_step(step, state, call))


def _call_of(on: _Model, depth: int, end: State | None) -> Mapping[str, Any]:
    """The arguments that the first block of a stack is called with, where the stack before it ends with a state."""
    part = on.parts[depth]
    stop = [_Stop(home, list(part.blocks), (0,), part.contract) for home in part.blocks]
    try:
        with _in_place(on, end, depth, stop):
            on.transformer(**on.arguments)
    except _Reached as reached:
        return reached.call
    raise SurgeryError(f"no block of {part.attribute!r} ran")


def _finished(on: _Model, end: State | None) -> Tensor:
    """The model's output where the last stack ends with that state."""
    with _in_place(on, end, len(on.parts)):
        output: Tensor = on.transformer(**on.arguments)[0]
    return output


@contextmanager
def _in_place(
    on: _Model, end: State | None, depth: int, slots: Sequence[Callable[..., Any]] | None = None
) -> Iterator[None]:
    """The stacks before ``depth`` without blocks, the last of them ending with a state; ``slots`` at ``depth``."""
    try:
        for place, part in enumerate(on.parts[:depth]):
            if place == depth - 1 and end is not None:
                view = [StoredState(home, end, part.contract) for home in part.blocks]
                setattr(on.model, part.attribute, BlockView(part.blocks, view))
            else:
                view_of_none = [Slot(home, list(part.blocks), (), part.contract) for home in part.blocks]
                setattr(on.model, part.attribute, BlockView(part.blocks, view_of_none))
        if slots is not None:
            part = on.parts[depth]
            setattr(on.model, part.attribute, BlockView(part.blocks, slots))
        yield
    finally:
        for part in on.parts:
            setattr(on.model, part.attribute, part.blocks)

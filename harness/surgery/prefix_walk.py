"""Many plans on one input, with the blocks that they begin with run once.

Plans over all stacks of a model are sequences of steps: those of the first stack, then those of the next. Laid beside
each other from their first step on they form a tree (a trie), in which every edge is a step that has to run, once for
all plans that go through it. The walk goes down the tree, depth first, and keeps only the states on its path: one for
each step of the longest plan. All subsets of L skipped blocks are 2^L - 1 block runs so, where one plan after the other
takes L 2^(L - 1); :mod:`harness.surgery.subset_walk` runs several of them in one batch.

Between stacks and after the last one the model's own forward runs, with the blocks replaced by what they would return
(:mod:`harness.surgery.stack_states`); so the result is bitwise that of a forward under the plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from harness.ablation.plan import Plan, Step, identity
from harness.ablation.plan import block_runs as runs_of_step
from harness.errors import SurgeryError
from harness.surgery.slot import State
from harness.surgery.stack_states import StackCall, StackStates


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
    model = StackStates(transformer)
    yield from _below(_Input(model, arguments), _tree(plans, model.lengths), ())


def block_runs(lengths: Mapping[str, int], plans: Sequence[Mapping[str, Plan]]) -> int:
    """How many runs of a block :func:`walk` makes, for stacks of those lengths in the order of the model."""
    return _runs(_tree(plans, lengths))


def _runs(node: _Node) -> int:
    return sum((0 if step is None else runs_of_step(step)) + _runs(child) for step, child in node.steps.items())


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


class _Input(NamedTuple):
    """A transformer, and the arguments of its forward."""

    model: StackStates
    arguments: Mapping[str, Any]


def _below(on: _Input, root: _Node, ends: tuple[State, ...]) -> Iterator[PlanOutput]:
    """The plans below the root of a stack's tree; ``ends`` are the states after the stacks before it."""
    if len(ends) == len(on.model.stacks):
        output = on.model.output_after(on.arguments, ends)
        yield from (PlanOutput(number, output) for number in root.plans)
        return
    call = on.model.call_of(on.arguments, ends)
    yield from _steps(on, root, ends, call, on.model.stacks[len(ends)].start(call))


def _steps(on: _Input, node: _Node, ends: tuple[State, ...], call: StackCall, state: State) -> Iterator[PlanOutput]:
    """The plans at and below a place in the tree of one stack, where the stack has that state."""
    stack = on.model.stacks[len(ends)]
    for step, child in node.steps.items():
        if step is None:
            yield from _below(on, child, (*ends, state))
        else:
            yield from _steps(on, child, ends, call, stack.run_step(step, state, call))

"""Which blocks of a stack ran, in which order, and which parts of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from harness.ablation.block_parts import STREAMS, SUBLAYERS, Atom, BlockPart, PartialBlock, atom
from harness.ablation.plan import Plan
from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, find_stack, unwrap_compiled
from harness.surgery.partial_block import sublayers_of, told_of_results


@contextmanager
def traced(transformer: nn.Module, stack: str | None = None) -> Iterator[list[Atom]]:
    """A stack's blocks in the order in which they really run, as a growing list.

    A block is its index, and a partial block where one of its sublayers wasn't called, or where only a part of its
    result was taken: what ran is seen by hooks on the submodules, not read from a plan.
    """
    model = unwrap_compiled(transformer)
    _, attribute = find_stack(model, stack)
    trace = _Trace()
    # By integer index: the blocks themselves, also where a view stands in front of them.
    original = blocks_at(model, attribute)
    handles: list[Any] = []
    try:
        for index in range(len(original)):
            handles += trace.watch(original[index], index)
        with told_of_results(trace.result_taken):
            yield trace.ran
    finally:
        for handle in handles:
            handle.remove()


class _Trace:
    """What ran so far; ``ran`` grows by one entry a call of a block."""

    def __init__(self) -> None:
        self.ran: list[Atom] = []
        self._called: set[str] = set()  # submodules of the block that is running
        self._indices: dict[int, int] = {}  # id of a block -> its index

    def watch(self, block: nn.Module, index: int) -> list[Any]:
        """Hooks on a block and its sublayers; their handles."""
        self._indices[id(block)] = index
        sublayers = sublayers_of(block)

        def before(_module: nn.Module, _args: Any) -> None:
            self.ran.append(index)
            self._called.clear()

        def after(_module: nn.Module, _args: Any, _output: Any) -> None:
            # Where none was seen, the hooks weren't called: under torch.compile they may not be.
            if self._called:
                self.ran[-1] = atom(PartialBlock(index, self._parts(index, sublayers)))

        def called(name: str) -> Callable[[nn.Module, Any], None]:
            return lambda _module, _args: self._called.add(name)

        handles = [block.register_forward_pre_hook(before), block.register_forward_hook(after)]
        for modules in sublayers.values():
            handles += [module.register_forward_pre_hook(called(name)) for name, module in modules.items()]
        return handles

    def _parts(self, index: int, sublayers: Mapping[BlockPart, Mapping[str, nn.Module]]) -> frozenset[BlockPart]:
        """The sublayers that ran. Raises SurgeryError where one ran in one stream and not in the other."""
        for part, modules in sublayers.items():
            silent = [name for name in modules if name not in self._called]
            if silent and len(silent) < len(modules):
                ran = ", ".join(name for name in modules if name in self._called)
                raise SurgeryError(
                    f"block {index} ran {ran} and not {', '.join(silent)}: half of its part {str(part)!r}"
                )
        return frozenset(part for part, modules in sublayers.items() if all(n in self._called for n in modules))

    def result_taken(self, block: nn.Module, taken: PartialBlock) -> None:
        """Note which streams and which share of a block's update were taken."""
        if self._indices.get(id(block)) is None or not self.ran:
            return
        ran = self.ran[-1]
        index, parts = (ran, frozenset[BlockPart]()) if isinstance(ran, int) else (ran.index, ran.parts)
        self.ran[-1] = atom(PartialBlock(index, parts & SUBLAYERS | taken.parts & STREAMS, taken.factor))


def check_trace(ran: Sequence[Atom], plan: Plan, stack: str) -> int:
    """The number of forwards that a trace holds. Raises SurgeryError where it isn't the plan, over and over."""
    expected = list(plan.atoms())
    if not expected:
        if ran:
            raise SurgeryError(f"stack {stack!r}: blocks {blocks_text(ran)} ran under a plan that runs none")
        return 0
    forwards, rest = divmod(len(ran), len(expected))
    if rest or not forwards or list(ran) != expected * forwards:
        first = list(ran[: len(expected)])
        raise SurgeryError(
            f"stack {stack!r}: the plan '{plan}' runs blocks {blocks_text(expected)}, but {blocks_text(first)} ran "
            f"({len(ran)} block calls in all): the ablation did not take hold as written"
        )
    return forwards


def blocks_text(blocks: Sequence[Atom]) -> str:
    """Blocks of a trace as messages show them: ``[0, 1.ff, 2]``."""
    return f"[{', '.join(map(str, blocks))}]"

"""Which blocks of a stack ran, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from harness.ablation.plan import Plan
from harness.errors import SurgeryError
from harness.models.stacks import find_stack, unwrap_compiled


@contextmanager
def traced(transformer: nn.Module, stack: str | None = None) -> Iterator[list[int]]:
    """The indices of a stack's blocks in the order in which they really run, as a growing list."""
    model = unwrap_compiled(transformer)
    _, attribute = find_stack(model, stack)
    ran: list[int] = []

    def note(index: int) -> Callable[[nn.Module, Any], None]:
        return lambda _module, _args: ran.append(index)

    # By integer index: the blocks themselves, also where a view stands in front of them.
    original = getattr(model, attribute)
    handles = [original[i].register_forward_pre_hook(note(i)) for i in range(len(original))]
    try:
        yield ran
    finally:
        for handle in handles:
            handle.remove()


def check_trace(ran: Sequence[int], plan: Plan, stack: str) -> int:
    """The number of forwards that a trace holds. Raises SurgeryError where it isn't the plan, over and over."""
    expected = list(plan.blocks())
    if not expected:
        if ran:
            raise SurgeryError(f"stack {stack!r}: blocks {list(ran)} ran under a plan that runs none")
        return 0
    forwards, rest = divmod(len(ran), len(expected))
    if rest or not forwards or list(ran) != expected * forwards:
        first = list(ran[: len(expected)])
        raise SurgeryError(
            f"stack {stack!r}: the plan '{plan}' runs blocks {expected}, but {first} ran "
            f"({len(ran)} block calls in all): the ablation did not take hold as written"
        )
    return forwards

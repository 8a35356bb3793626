"""What proves, on the model at hand, that its blocks run as a plan says: bitwise, on one forward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.ablation.plan import Plan, identity
from harness.errors import SurgeryError
from harness.models.forward_output import output_of
from harness.models.kernels import pinned
from harness.models.stacks import blocks_at, find_stack, put_blocks, unwrap_compiled
from harness.surgery.block_contract import contract
from harness.surgery.view import ablate


def prove_identity(transformer: nn.Module, arguments: Mapping[str, Any], stack: str) -> None:
    """Every block of a stack behind a slot: the output is bitwise the model's own. Raises SurgeryError."""
    with pinned():
        plain = output_of(transformer, arguments)
        length = len(blocks_at(transformer, find_stack(transformer, stack)[1]))
        with ablate(transformer, identity(length), stack, force_slots=True):
            slotted = output_of(transformer, arguments)
    if not torch.equal(plain, slotted):
        raise SurgeryError(
            f"stack {stack!r}: the identity behind slots differs from the model by {_worst(plain, slotted):.3g}"
        )


def prove_listed(transformer: nn.Module, arguments: Mapping[str, Any], plan: Plan, stack: str, output: Tensor) -> bool:
    """Whether ``output``, made under a plan, is bitwise that of a model whose list holds just the plan's blocks.

    So a skip equals deletion. False where there is no such list: groups combine outputs, a block that gives no text
    (SD3's last) can only stand last, and where blocks get data by index, a shorter list would mix it up. Raises
    SurgeryError where the outputs differ.
    """
    attribute = find_stack(transformer, stack)[1]
    shown = contract(unwrap_compiled(transformer), attribute)
    if shown.by_block or shown.fixed:
        return False
    blocks = blocks_at(transformer, attribute)
    order = [step for step in plan.steps if isinstance(step, int)]
    if len(order) < len(plan.steps) or any(getattr(blocks[i], "context_pre_only", False) for i in order[:-1]):
        return False
    with pinned(), _listed(unwrap_compiled(transformer), attribute, order):
        listed = output_of(transformer, arguments)
    if not torch.equal(listed, output):
        raise SurgeryError(
            f"stack {stack!r}: under the plan '{plan}' the output differs from that of a model with just these blocks "
            f"by {_worst(listed, output):.3g}"
        )
    return True


@contextmanager
def _listed(model: nn.Module, attribute: str, order: list[int]) -> Iterator[None]:
    original = blocks_at(model, attribute)
    put_blocks(model, attribute, nn.ModuleList([original[i] for i in order]))
    try:
        yield
    finally:
        put_blocks(model, attribute, original)


def _worst(a: Tensor, b: Tensor) -> float:
    return float((a.float() - b.float()).abs().max())

"""Stacks of a model that is not diffusers', declared by hand: for a forward whose source can't be read."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from harness.errors import SurgeryError


@dataclass(frozen=True)
class DeclaredStack:
    """What the blocks of one stack return.

    ``outputs`` are the names of the block's parameters that its outputs replace, in the order of return; ``single`` is
    True where it returns one bare tensor; ``by_block`` are parameters whose argument belongs to the block and not to
    the position where it stands (see :class:`harness.surgery.block_contract.BlockContract`).
    """

    outputs: tuple[str, ...]
    single: bool
    by_block: tuple[str, ...] = ()


_declared: dict[type[nn.Module], dict[str, DeclaredStack]] = {}


def declare_stack(
    model: type[nn.Module], path: str, outputs: tuple[str, ...], *, single: bool = False, by_block: tuple[str, ...] = ()
) -> None:
    """Declare that ``model.<path>`` is a stack whose blocks' outputs replace these parameters of the next block.

    ``path`` leads from the model to its ModuleList, with dots (``"backbone.blocks"``). ``outputs`` are in the order in
    which a block returns them; with ``single`` it returns one bare tensor. The model's forward must still iterate over
    the list, and each block must be called once for each position. Raises SurgeryError for a declaration that can't be.
    """
    if not outputs or len(set(outputs)) != len(outputs) or (single and len(outputs) != 1):
        raise SurgeryError(
            f"{model.__name__}.{path}: a block has one output or more, each named once, and a single one is one; "
            f"not {outputs!r} with single={single}"
        )
    _declared.setdefault(model, {})[path] = DeclaredStack(tuple(outputs), single, tuple(by_block))


def declared_stacks(model: nn.Module) -> dict[str, DeclaredStack]:
    """What was declared of a model's class, by path."""
    return dict(_declared.get(type(model), {}))

"""The outputs of a model's blocks in one forward, with the gradients that they have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from harness.models.stacks import blocks_at, stacks
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.pruning import Kept

Places = Mapping[str, Sequence[int]]  # stack -> positions of blocks


def teacher_places(transformer: nn.Module, kept: Kept) -> dict[str, tuple[int, ...]]:
    """The teacher's positions that the student's blocks are matched with, in the student's order, by stack.

    They are the positions of the blocks that stay: the student's first block is to end where the teacher's first kept
    position ends, whatever was left out after it. A plan that reorders blocks doesn't reorder positions. Stacks
    without a plan are matched block by block.
    """
    return {
        name: tuple(sorted(kept.get(name, range(len(blocks_at(transformer, attribute))))))
        for name, attribute in stacks(transformer).items()
    }


def student_places(places: Places) -> dict[str, tuple[int, ...]]:
    """The student's own positions that :func:`teacher_places` belong to: all of them, from 0 on."""
    return {stack: tuple(range(len(positions))) for stack, positions in places.items()}


@contextmanager
def block_outputs(transformer: nn.Module, places: Places) -> Iterator[dict[str, Tensor]]:
    """A dict that one forward inside the ``with`` block fills: ``"double.2.hidden_states"`` -> what block leaves.

    ``places`` are the positions by stack; the number in a name is the place in that list, so that student and teacher
    have the same names. An output that is None (the text of SD3's last block) isn't there. Gradient checkpointing runs
    blocks a second time in the backward pass; the outputs of the first time are kept.
    Raises SurgeryError where it can't be told what a block returns.
    """
    outputs: dict[str, Tensor] = {}
    handles: list[Any] = []
    try:
        for stack, attribute in stacks(transformer).items():
            blocks = blocks_at(transformer, attribute)
            if not len(blocks) or not places.get(stack):
                continue
            returns = contract(transformer, attribute)
            for number, place in enumerate(places[stack]):
                keep = _keeper(outputs, f"{stack}.{number}", returns)
                handles.append(blocks[place].register_forward_hook(keep))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _keeper(outputs: dict[str, Tensor], prefix: str, returns: BlockContract) -> Callable[..., None]:
    """A forward hook that keeps a block's outputs by name."""

    def keep(_block: nn.Module, _args: Any, output: Any) -> None:
        values = (output,) if returns.single else output
        for name, value in zip(returns.outputs, values, strict=True):
            if isinstance(value, Tensor):
                outputs.setdefault(f"{prefix}.{name}", value)

    return keep


def common(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Both models' features that both have: a block that is last in one of them may give no text there."""
    names = [name for name in first if name in second]
    return {name: first[name] for name in names}, {name: second[name] for name in names}

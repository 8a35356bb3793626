"""Sets of blocks that a plan leaves out, over all stacks of a model, and what they save.

A removal is a set of block numbers. Blocks are numbered through the stacks in the order of the model: of 5 double and
10 single blocks, block 5 is the first single one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, combinations

from harness.ablation.plan import Plan
from harness.errors import PlanError

Removal = frozenset[int]
ROUNDING = 1e-9  # savings are sums of shares


@dataclass(frozen=True)
class Blocks:
    """The blocks of a model: ``lengths`` of its stacks in order, and the share of some cost that each block has.

    ``shares`` are one for each block, numbered through the stacks. What they are shares of is the caller's: of the time
    of a forward, of the parameters; or 1 for each block, where the number of blocks is what counts. The rest of the
    model (embeddings, the output layer) has a share that no removal saves.
    """

    lengths: Mapping[str, int]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError where there is not one positive share for each block."""
        if len(self.shares) != sum(self.lengths.values()):
            raise ValueError(f"{len(self.shares)} shares for {sum(self.lengths.values())} blocks")
        if not all(share > 0 for share in self.shares):
            raise ValueError(f"a block has a share that is not above 0: {self.shares}")

    @classmethod
    def alike(cls, lengths: Mapping[str, int]) -> Blocks:
        """Blocks that count as one each."""
        return cls(lengths, (1.0,) * sum(lengths.values()))

    @property
    def starts(self) -> dict[str, int]:
        """The number of the first block of each stack."""
        ends = accumulate(self.lengths.values())
        return {stack: end - length for (stack, length), end in zip(self.lengths.items(), ends, strict=True)}

    @property
    def count(self) -> int:
        """How many blocks there are, over all stacks."""
        return len(self.shares)

    def saved(self, removal: Iterable[int]) -> float:
        """The sum of the shares of the blocks that are left out."""
        return sum(self.shares[block] for block in removal)

    def reaches(self, removal: Iterable[int], target: float) -> bool:
        """Whether a removal saves as much as ``target``."""
        return self.saved(removal) >= target - ROUNDING

    def plan(self, removal: Iterable[int]) -> dict[str, Plan]:
        """The plan by stack; stacks that lose nothing are not in it."""
        gone = set(removal)
        plans: dict[str, Plan] = {}
        start = 0
        for stack, length in self.lengths.items():
            kept = tuple(i for i in range(length) if start + i not in gone)
            if len(kept) < length:
                plans[stack] = Plan(kept)
            start += length
        return plans

    def text(self, removal: Iterable[int]) -> str:
        """``double: 0 2-4; single: 0-8``, as ``--dit-plan`` takes it; empty for the model as it is."""
        return plans_text(self.plan(removal))


def plans_text(plans: Mapping[str, Plan]) -> str:
    """``double: 0 2 2 2 4; single: 0-8``, each part as ``--dit-plan`` takes it."""
    return "; ".join(f"{stack}: {plan}" for stack, plan in plans.items())


def mask_of(removal: Iterable[int]) -> int:
    """The removal as a number, with bit i set for block i: its place in a table of all removals."""
    return sum(1 << block for block in removal)


def of_mask(mask: int) -> Removal:
    """The removal of a number (:func:`mask_of`)."""
    return frozenset(i for i in range(mask.bit_length()) if mask >> i & 1)


def all_removals(count: int, *, most: int | None = None) -> Iterator[Removal]:
    """Every removal of up to ``most`` of ``count`` blocks, the smaller ones first; all 2^count without ``most``.

    Raises PlanError where ``most`` is no number of blocks.
    """
    limit = count if most is None else most
    if not 0 <= limit <= count:
        raise PlanError(f"{limit} blocks can't be left out of {count}")
    for size in range(limit + 1):
        yield from map(frozenset, combinations(range(count), size))

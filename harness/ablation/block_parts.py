"""Parts of a block, and a block of which only a part runs or whose update is scaled.

A block has two sublayers, attention and feed-forward (its residual branches), and in most models two streams of tokens,
text and image. ``5.attn`` runs block 5 without its feed-forward, ``5.text`` runs it and takes only the text that it
returns, and ``5*0.5`` takes half of its update.

    f(x)              what the block returns for the state x, without the sublayer that is left out
    x + w (f(x) - x)  what is taken of it, for the factor w, in the streams that are named
    x                 what is taken in the other stream
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import SupportsIndex

from harness.errors import PlanError
from harness.spelling import did_you_mean

_MOST_FACTOR = 100.0
_DECIMALS = 4  # of a factor, so that its text says it exactly


class BlockPart(enum.StrEnum):
    """A part of a block by its name in plans."""

    ATTENTION = "attn"
    FEED_FORWARD = "ff"
    TEXT = "text"
    IMAGE = "image"


SUBLAYERS = frozenset({BlockPart.ATTENTION, BlockPart.FEED_FORWARD})
STREAMS = frozenset({BlockPart.TEXT, BlockPart.IMAGE})

# A block's weights that every token goes through: four matrices of d x d in attention, and in the feed-forward two of
# d x 4d (or three of d x 8d/3). All three families have these sizes. What attention does with pairs of tokens is left
# out, as it depends on the image's size, and so is the modulation, which is once an image.
_SHARE = {BlockPart.ATTENTION: 1 / 3, BlockPart.FEED_FORWARD: 2 / 3}


@dataclass(frozen=True)
class PartialBlock:
    """One block of which only some parts run, or whose update is scaled; in a plan ``5.attn.text*0.5``.

    ``parts`` are those that are left; naming both sublayers, or both streams, is naming neither. ``factor`` is from 0
    to 100, with at most four decimals. Raises PlanError.
    """

    index: int
    parts: frozenset[BlockPart] = frozenset()
    factor: float = 1.0

    def __post_init__(self) -> None:
        parts = frozenset(self.parts)
        for pair in (SUBLAYERS, STREAMS):
            if pair <= parts:
                parts -= pair
        factor = float(self.factor)
        if not 0.0 <= factor <= _MOST_FACTOR:  # NaN, too
            raise PlanError(f"an update is scaled by a factor from 0 to {_MOST_FACTOR:g}, and not by {self.factor!r}")
        if round(factor, _DECIMALS) != factor:
            raise PlanError(f"a factor has at most {_DECIMALS} decimals, and {self.factor!r} has more; round it")
        object.__setattr__(self, "index", _block_number(self.index))
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "factor", factor + 0.0)  # no -0.0: equal blocks have one text

    @property
    def whole(self) -> bool:
        """Whether it is just the block."""
        return not self.parts and self.factor == 1.0

    @property
    def runs(self) -> bool:
        """Whether the block is called at all: scaled by 0 it isn't."""
        return self.factor > 0.0

    @property
    def cut(self) -> frozenset[BlockPart]:
        """The sublayer that doesn't run; none where both do."""
        return SUBLAYERS - self.parts if SUBLAYERS & self.parts else frozenset()

    @property
    def work(self) -> float:
        """How much of a block's work is left: by the weights that every token goes through.

        A stream alone is the whole block, since the other stream is computed as well: attention needs both.
        """
        return (1.0 - sum(_SHARE[part] for part in self.cut)) if self.runs else 0.0

    @property
    def suffix(self) -> str:
        """What stands behind the index in a plan: ``.attn.text*0.5``."""
        return suffix(self.parts, self.factor)

    def __str__(self) -> str:
        return f"{self.index}{self.suffix}"


Atom = int | PartialBlock


def suffix(parts: Iterable[BlockPart], factor: float) -> str:
    """What stands behind the index of a block with such parts and factor: ``.attn.text*0.5``."""
    taken = set(parts)
    named = "".join(f".{part}" for part in BlockPart if part in taken)
    scaled = "" if factor == 1.0 else "*" + f"{factor:.{_DECIMALS}f}".rstrip("0").rstrip(".")
    return named + scaled


def atom(block: object) -> Atom:
    """A block of a plan: a whole number (numpy's, too) or a partial block. Raises PlanError."""
    if isinstance(block, PartialBlock):
        return block.index if block.whole else block
    return _block_number(block)


def _block_number(block: object) -> int:
    if type(block) is int:
        return block
    if isinstance(block, bool) or not isinstance(block, SupportsIndex):
        raise PlanError(f"{block!r} is no block number; a plan's steps are whole numbers and groups")
    return operator.index(block)


def index_of(block: Atom) -> int:
    """The index of a block, whole or partial."""
    return block if isinstance(block, int) else block.index


def suffix_of(block: Atom) -> str:
    """What stands behind the index of a block; nothing where it is whole."""
    return "" if isinstance(block, int) else block.suffix


def partial(index: int, names: Iterable[str], factor: str) -> Atom:
    """The block that ``5.attn*0.5`` says: its index, the names of parts, and the factor's text (empty for none).

    Raises PlanError for an unknown part or a factor that is out of bounds.
    """
    parts: list[BlockPart] = []
    for name in names:
        if name not in list(BlockPart):
            raise PlanError(
                f"a block has no part {name[:20]!r}{did_you_mean(name, BlockPart)}; the parts are "
                f"{', '.join(BlockPart)}"
            )
        parts.append(BlockPart(name))
    whole, _, decimals = factor.partition(".")
    if len(whole) > 3 or len(decimals.rstrip("0")) > _DECIMALS or len(decimals) > 20:
        raise PlanError(
            f"a factor is from 0 to {_MOST_FACTOR:g} and has at most {_DECIMALS} decimals, not {factor[:20]!r}"
        )
    return atom(PartialBlock(index, frozenset(parts), float(factor or 1.0)))


@dataclass(frozen=True)
class StackParts:
    """Which parts the blocks of a stack have.

    ``lacking`` says of each part that they don't have why not. ``text_ends``: nothing reads the text that the last
    block returns, so that this block has no streams to be told apart.
    """

    parts: frozenset[BlockPart] = frozenset()
    lacking: Mapping[BlockPart, str] = field(default_factory=dict[BlockPart, str])
    text_ends: bool = False

    def of_block(self, index: int, length: int) -> frozenset[BlockPart]:
        """The parts of one block of a stack of ``length``."""
        return self.parts - STREAMS if self.text_ends and index == length - 1 else self.parts

    def check(self, blocks: Iterable[Atom], length: int, stack: str) -> None:
        """Raise PlanError where a block is asked for a part that it doesn't have, saying which it has."""
        for block in blocks:
            if isinstance(block, int) or not block.parts - self.of_block(block.index, length):
                continue
            own = self.of_block(block.index, length)
            part = min(block.parts - own)
            reason = self.lacking.get(part, "its blocks have none")
            if part in self.parts:
                reason = "nothing reads the text that the last block returns, so its image is all of its result"
            names = [str(p) for p in BlockPart if p in own]
            has = f"it has {', '.join(names)}, and a factor" if names else "only a factor can be set, as in '5*0.5'"
            raise PlanError(
                f"'{block}': block {block.index} of stack {stack!r} has no part {str(part)!r}: {reason}; {has}"
            )

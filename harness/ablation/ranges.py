"""Ranges of blocks, by number or by depth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import CaseError
from harness.spelling import did_you_mean

DEPTHS = ("first", "middle", "last", "middle-lower", "middle-upper", "each")
GROUPED = DEPTHS[:-1]  # what measured groups say otherwise
# A stack's measured groups: inclusive ranges by the names first, middle and last; one that is missing is no range.
Parts = Mapping[str, tuple[int, int]]


def range_text(first: int, last: int) -> str:
    """An inclusive range as it is written everywhere: ``3-8``, or ``3`` for a single one."""
    return str(first) if first == last else f"{first}-{last}"


@dataclass(frozen=True, order=True)
class Span:
    """An inclusive range of block indices, first..last."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise CaseError(f"a range runs from a lower to a higher block: {self.first}-{self.last}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return range_text(self.first, self.last)

    @property
    def place(self) -> str:
        """As it is written in ids: ``L02-04``, or ``L03`` for a single block."""
        return f"L{self.first:02d}" if self.first == self.last else f"L{self.first:02d}-{self.last:02d}"

    @property
    def blocks(self) -> tuple[int, ...]:
        """The indices from first to last."""
        return tuple(range(self.first, self.last + 1))

    @property
    def centre(self) -> int:
        """The middle block; of an even range the lower middle."""
        return (self.first + self.last) // 2


def _by_depth(length: int) -> dict[str, tuple[int, int]]:
    """First, middle and last by the fractions: the central half, and what is left of it."""
    cut = length // 4
    ends = {"first": (0, cut - 1), "last": (length - cut, length - 1)} if cut else {}
    return {"middle": (cut, length - 1 - cut), **ends}


def spans(name: str, length: int, stack: str = "", parts: Parts | None = None) -> list[tuple[Span, tuple[str, ...]]]:
    """The ranges that a depth name or ``4-7`` stands for in a stack, each with its words for ``-k``.

    ``parts`` are first, middle and last where they were measured. A depth that this stack doesn't have (a middle of
    fewer than four blocks has no halves) gives []. Raises CaseError for an unknown name or a range outside the stack.
    """
    spans = {depth: Span(*part) for depth, part in (_by_depth(length) if parts is None else parts).items()}
    if name in ("first", "middle", "last"):
        return [(spans[name], (name,))] if name in spans else []
    if name in ("middle-lower", "middle-upper"):
        middle = spans.get("middle")
        if middle is None or len(middle) < 4:
            return []
        half = middle.centre
        lower = name == "middle-lower"
        span = Span(middle.first, half) if lower else Span(half + 1, middle.last)
        return [(span, (name,))]
    if name == "each":
        return [(Span(i, i), ("each",)) for i in range(length)]
    written = re.fullmatch(r"([0-9]{1,6})(?:-([0-9]{1,6}))?", name.strip())
    where = f" for stack {stack!r}" if stack else ""
    if written is None:
        raise CaseError(
            f"unknown range {name!r}{did_you_mean(name, DEPTHS)}{where}; write a block (3), a range (4-7) or one of "
            f"{', '.join(DEPTHS)}"
        )
    first, last = int(written[1]), int(written[2] or written[1])
    if last < first or last >= length:
        raise CaseError(f"range {name!r}{where} doesn't fit its {length} blocks (0-{length - 1})")
    return [(Span(first, last), ())]

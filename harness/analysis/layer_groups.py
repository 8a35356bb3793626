"""``baselines/<checkpoint>/groups.json``: which blocks of each stack belong together, as it was measured once.

With ``--dit-range-source=groups`` these groups define the ranges ``first``, ``middle`` and ``last`` of the cases.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BaselineError, DataError
from harness.files import write_atomically
from harness.results.serialise import Finite, parse

_SCHEMA = 1
FILE = "groups.json"
_FIX = "restore it from git, or measure the groups again"


@dataclass(frozen=True)
class StackGroups:
    """A stack of ``length`` blocks: group k is ``starts[k]`` up to the block before ``starts[k + 1]``.

    ``structure`` says whether the cut beats what would be found without any groups (its ``p``); ``stability`` has
    for each inner boundary the share of bootstrap draws in which it comes out at the same block.
    """

    length: int
    starts: tuple[int, ...]
    structure: bool
    p: Finite
    stability: tuple[Finite, ...] = ()


@dataclass(frozen=True)
class Groups:
    """The groups of a checkpoint's stacks; ``measured`` says with what, in any words."""

    checkpoint: str
    stacks: Mapping[str, StackGroups]
    measured: Mapping[str, str] = field(default_factory=dict[str, str])


def read(path: Path, checkpoint: str | None = None) -> Groups:
    """Read a file of groups.

    Raises BaselineError, naming the place, where it is unreadable, no JSON, of another schema, of another checkpoint
    than the one asked for, or where a stack's starts are no cut of its blocks.
    """
    try:
        groups = parse(Groups, path.read_text(encoding="utf-8"), schema=_SCHEMA)
    except FileNotFoundError:
        raise BaselineError(
            f"groups {path} are not there; measure them, or leave out --dit-range-source=groups"
        ) from None
    except DataError as error:
        raise BaselineError(f"groups {path} are not laid out as such: {error}; {_FIX}") from None
    except (OSError, ValueError) as error:
        raise BaselineError(f"groups {path} can't be read: {error}; {_FIX}") from None
    if checkpoint is not None and groups.checkpoint != checkpoint:
        raise BaselineError(f"groups {path} belong to checkpoint {groups.checkpoint!r}, not {checkpoint!r}; {_FIX}")
    for name, stack in groups.stacks.items():
        wrong = _wrong(stack)
        if wrong:
            raise BaselineError(f"groups {path}: stack {name!r} {wrong}; {_FIX}")
    return groups


def _wrong(stack: StackGroups) -> str:
    """What makes a stack's groups none, or nothing."""
    starts = stack.starts
    rising = all(a < b for a, b in itertools.pairwise(starts))
    if not starts or starts[0] != 0 or not rising or starts[-1] >= stack.length:
        return (
            f"has starts {list(starts)}, which don't cut its {stack.length} blocks: they begin with 0, rise, and stay "
            "inside the stack"
        )
    if stack.stability and len(stack.stability) != len(starts) - 1:
        return f"has {len(stack.stability)} stabilities for {len(starts) - 1} inner boundaries"
    if not all(0 <= share <= 1 for share in (stack.p, *stack.stability)):
        return "has a p or a stability outside 0..1"
    return ""


def dump(groups: Groups) -> str:
    """The file's text: sorted keys, one line a stack, so that a diff reads well. Raises BaselineError as read."""
    lines = []
    for name, stack in sorted(groups.stacks.items()):
        wrong = _wrong(stack)
        if wrong:
            raise BaselineError(f"groups of {groups.checkpoint}: stack {name!r} {wrong}")
        entry = {
            "length": stack.length,
            "p": _rounded(stack.p),
            "stability": [_rounded(share) for share in stack.stability],
            "starts": list(stack.starts),
            "structure": stack.structure,
        }
        lines.append(f"    {json.dumps(name)}: {json.dumps(entry)}")
    stacks = "{\n" + ",\n".join(lines) + "\n  }" if lines else "{}"
    measured = json.dumps(dict(groups.measured), indent=2, sort_keys=True).replace("\n", "\n  ")
    return (
        f'{{\n  "checkpoint": {json.dumps(groups.checkpoint)},\n  "measured": {measured},\n'
        f'  "schema": {_SCHEMA},\n  "stacks": {stacks}\n}}\n'
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def write(path: Path, groups: Groups) -> None:
    """Write the file whole or not at all. Raises BaselineError for starts that are no cut, HarnessError from disk."""
    write_atomically(path, dump(groups))


def spans(groups: Groups, stack: str, length: int) -> dict[str, tuple[int, int]]:
    """(first, last) block, inclusive, of the ranges ``first``, ``middle`` and ``last`` of a stack.

    ``first`` is the first group, ``last`` the last one, ``middle`` everything between them; two groups have no
    middle. Raises BaselineError for a stack that isn't there, has another length, or has no block structure.
    """
    name = groups.checkpoint
    grouping = groups.stacks.get(stack)
    if grouping is None:
        known = ", ".join(sorted(groups.stacks)) or "none"
        raise BaselineError(f"the groups of {name} have no stack {stack!r} (there are: {known}); measure them again")
    if grouping.length != length:
        raise BaselineError(
            f"the groups of {name} cut a stack {stack!r} of {grouping.length} blocks, this one has {length}; "
            "measure them again"
        )
    if not grouping.structure or len(grouping.starts) < 2:
        raise BaselineError(
            f"stack {stack!r} of {name} has no block structure (p = {grouping.p:.3g}), so it has no groups; leave out "
            "--dit-range-source=groups, or write the ranges as first, middle, last or in numbers"
        )
    starts = grouping.starts
    cut = {"first": (0, starts[1] - 1), "last": (starts[-1], length - 1)}
    if len(starts) > 2:
        cut["middle"] = (starts[1], starts[-1] - 1)
    return {key: cut[key] for key in ("first", "middle", "last") if key in cut}

"""Checkpoints that others have pruned without numbering the blocks that are left anew.

diffusers loads blocks 0, 1, 2, ... and would leave those random that a file calls 10 or 18. Where a transformer's
config says how many blocks there are, and its files hold just so many under other numbers, they are taken in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import CheckpointError
from harness.models.checkpoints.pipeline_folder import header, shards
from harness.models.spec import Family

BlockNumbers = Mapping[str, tuple[int, ...]]  # stack -> the number in the files of each of its blocks, in order


def numbers_with_holes(folder: Path, family: Family, lengths: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The stacks whose blocks have other numbers in the files of ``folder`` (a transformer's) than 0, 1, 2, ...

    ``lengths`` are the stacks' by the config. A stack of which the files hold more or fewer blocks is left out, and so
    is every stack where the files can't be read: loading says what is wrong with them.
    """
    try:
        names = [name for path in shards(folder) for name in header(path)]
    except CheckpointError:
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for stack in family.stacks:
        start = re.compile(rf"{re.escape(stack.attribute)}\.([0-9]+)\.")
        numbers = tuple(sorted({int(match[1]) for name in names if (match := start.match(name))}))
        if len(numbers) == lengths[stack.name] and numbers != tuple(range(len(numbers))):
            found[stack.name] = numbers
    return found


def renumbered(name: str, family: Family, numbers: BlockNumbers) -> str:
    """A weight's name with its block's place instead of its number: ``transformer_blocks.10.ff`` is ``.3.ff``."""
    for stack in family.stacks:
        kept = numbers.get(stack.name)
        match = re.match(rf"{re.escape(stack.attribute)}\.([0-9]+)\.", name)
        if kept and match:
            return f"{stack.attribute}.{kept.index(int(match[1]))}.{name[match.end() :]}"
    return name


def lacking_numbers(numbers: BlockNumbers) -> str:
    """What is missing up to the last number of each stack: ``3-9 and 11-17 of double``."""
    parts: list[str] = []
    for stack, kept in numbers.items():
        runs: list[list[int]] = []
        for number in sorted(set(range(kept[-1] + 1)) - set(kept)):
            if runs and runs[-1][-1] == number - 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
        parts.append(f"{' and '.join(texts)} of {stack}")
    return ", ".join(parts)

"""A plan as it is drawn over the strip of its stack: how often each block runs, in which order, in which groups."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from harness.ablation.block_parts import PartialBlock, index_of
from harness.ablation.plan import Group, Plan, parse
from harness.errors import PlanError

_MOST_STEPS = 512  # of a path; a plan of a foreign journal may run 100,000 blocks
_WIDEST = 1000  # blocks of a stack


def read_plan(text: str) -> Plan | None:
    """The plan of a record; None where it has none, or none that can be drawn."""
    try:
        plan = parse(text) if text else None
    except PlanError:  # of a foreign journal
        return None
    return plan if plan is not None and max(map(index_of, plan.named()), default=0) < _WIDEST else None


def lane(plan: Plan) -> dict[str, Any]:
    """JSON for the drawing.

    ``runs`` has [block, times, what is left of it] of each block that runs, ``path`` the blocks in the order of
    execution (the first 512), ``groups`` [first block, last block, text] of what runs on one input, ``ordered`` says
    whether the blocks run in the model's own order, each at most once.
    """
    times: dict[int, int] = {}
    suffixes: dict[int, str] = {}
    path: list[int] = []
    for block in plan.atoms():
        index = index_of(block)
        times[index] = times.get(index, 0) + 1
        if isinstance(block, PartialBlock) and not block.whole:
            suffixes[index] = block.suffix
        if len(path) < _MOST_STEPS:
            path.append(index)
    groups: list[list[Any]] = []
    for step in plan.steps:
        if isinstance(step, Group):
            members = [index_of(block) for branch in step.branches for block in branch]
            loops = f" x{step.loops}" if step.loops > 1 else ""
            groups.append([min(members), max(members), f"parallel{step.combine.value}{loops}"])
    return {
        "runs": [[index, count, suffixes.get(index, "")] for index, count in sorted(times.items())],
        "path": path,
        "groups": groups,
        "ordered": not groups and all(a < b for a, b in pairwise(path)),
    }

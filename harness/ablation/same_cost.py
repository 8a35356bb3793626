"""What plans are compared with at the same cost: fewer steps and residual reuse that save as much time.

The modifier ``same-cost`` of an Ask becomes these cases. At each speed-up there are as many steps as save so much, and
the reuse of all blocks in every second of the last steps, of as few as save so much: the first steps, in which the
layout comes about, are left alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.ablation.modifiers import PlacedModifier, read_modifier
from harness.ablation.ranges import Span
from harness.ablation.steps import Window

WORD = "same-cost"  # for an Ask, and for -k
SPEED_UPS = (1.1, 1.25, 1.5, 2.0)


def same_cost_modifiers(
    stacks: Mapping[str, int], steps: int, speed_ups: Sequence[float] = SPEED_UPS
) -> list[tuple[PlacedModifier, ...]]:
    """The modifiers, each group of which is a case, for a run of ``steps`` denoising steps through ``stacks``.

    Speed-ups are theoretical ones, as if nothing but blocks cost time. Equal groups are one; a speed-up that needs more
    than can be saved has none.
    """
    groups: list[tuple[PlacedModifier, ...]] = []
    for speed_up in speed_ups:
        saved = math.ceil(steps - steps / speed_up - 1e-9)  # steps' worth of blocks
        if 0 < saved < steps:
            groups.append((read_modifier(f"fewer-steps.{steps - saved}"),))
        if 0 < 2 * saved <= steps:
            window: Window | None = None if 2 * saved == steps else (steps - 2 * saved, steps - 1)
            groups.append(_reuse(stacks, window))
    return list(dict.fromkeys(groups))


def _reuse(stacks: Mapping[str, int], window: Window | None) -> tuple[PlacedModifier, ...]:
    reuse = replace(read_modifier("reuse.n2"), window=window)
    return tuple(reuse.at(stack, Span(0, length - 1)) for stack, length in stacks.items())

"""Which steps of a plan run at which of a stack's original positions."""

from __future__ import annotations

from harness.ablation.block_parts import index_of
from harness.ablation.plan import Group, Plan, Step
from harness.errors import PlanError


def align(plan: Plan, length: int) -> tuple[tuple[Step, ...], ...]:
    """Which steps run at which of the stack's original positions: one tuple a slot.

    The rule: steps keep their order; as few of them as possible share a slot; among those
    assignments, each stays as near as possible to the position of its own (first) block; ties go to
    the lower slots. So a skip leaves its slots empty, a reversal fills each with one block, and
    whatever a model does per position (ControlNet residuals, say) stays at its position.
    """
    if length < 1:
        raise PlanError("a stack has at least one block")
    infinite = (len(plan.steps) + 1, 0)
    # best[s]: least (shared, distance) with the current step in slot s; back[i][s]: its predecessor's.
    best: list[tuple[int, int]] = []
    back: list[list[int]] = []
    for step in plan.steps:
        home = index_of(step.branches[0][0] if isinstance(step, Group) else step)
        fresh: list[tuple[int, int]] = []
        came: list[int] = []
        low, low_at = infinite, -1  # the least of best[0..s-1]
        for slot in range(length):
            if not back:
                before, at = (0, 0), -1
            else:
                shared = (best[slot][0] + 1, best[slot][1])
                before, at = (low, low_at) if low_at >= 0 and low <= shared else (shared, slot)
                if best[slot] < low:
                    low, low_at = best[slot], slot
            fresh.append((before[0], before[1] + abs(slot - home)))
            came.append(at)
        best = fresh
        back.append(came)
    slots: list[list[Step]] = [[] for _ in range(length)]
    if back:
        slot = min(range(length), key=lambda s: best[s])
        for i in range(len(plan.steps) - 1, -1, -1):
            slots[slot].insert(0, plan.steps[i])
            slot = back[i][slot]
    return tuple(tuple(steps) for steps in slots)

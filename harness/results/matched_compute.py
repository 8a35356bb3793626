"""Ways of saving time compared at the same theoretical cost: the least harmful of each kind, paired over prompts.

Choosing the best of many variants by the prompts that it is then judged on flatters whoever has most variants. So the
prompts are halved: the variant that is best on one half is judged on the other half, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.ablation.same_cost import SPEED_UPS
from harness.results.arrays import Array
from harness.results.statistics import Interval, mean_interval

PLAN, FEWER_STEPS, REUSE = "plan", "fewer steps", "residual reuse"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Contender:
    """A variant: its kind, its theoretical speed-up, and its (P,) harms by prompt, in sd of the control's seeds."""

    kind: str
    name: str
    speed_up: float
    harms: tuple[float, ...]


@dataclass(frozen=True)
class Best:
    """The least harmful variant of a kind that is at least as fast as asked for.

    ``names`` are those that were chosen on either half of the prompts, with the least of their theoretical speed-ups.
    ``more_than_plan`` is how much more harm it does than the best plan, prompt by prompt; None for the plan itself, and
    where no plan is as fast.
    """

    kind: str
    names: tuple[str, ...]
    speed_up: float
    harm: Interval
    more_than_plan: Interval | None


@dataclass(frozen=True)
class Match:
    """What each kind is worth at one speed-up; a kind without a variant as fast is not among them."""

    speed_up: float
    kinds: tuple[Best, ...]


def matched(contenders: Sequence[Contender], speed_ups: Sequence[float] = SPEED_UPS) -> tuple[Match, ...]:
    """The best of each kind at each speed-up, and its paired difference from the best plan with a 95 % interval.

    All contenders have harms of the same prompts in the same order. Raises ValueError for fewer than four prompts, or
    where their numbers differ.
    """
    prompts = {len(each.harms) for each in contenders}
    if len(prompts) > 1 or min(prompts, default=0) < 4:
        raise ValueError(f"variants are compared on the same four prompts or more, not on {sorted(prompts)}")
    return tuple(Match(speed_up, _best_of_kinds(contenders, speed_up)) for speed_up in speed_ups)


def _best_of_kinds(contenders: Sequence[Contender], speed_up: float) -> tuple[Best, ...]:
    fast: dict[str, list[Contender]] = {kind: [] for kind in (PLAN, FEWER_STEPS, REUSE)}
    for each in contenders:
        if each.speed_up >= speed_up - _ROUNDING:
            fast.setdefault(each.kind, []).append(each)
    chosen = {kind: _chosen(members) for kind, members in fast.items() if members}
    plan = chosen.get(PLAN)
    best: list[Best] = []
    for kind, (members, harms) in chosen.items():
        difference = None if plan is None or kind == PLAN else mean_interval(harms - plan[1])
        names = tuple(dict.fromkeys(each.name for each in members))
        slowest = min(each.speed_up for each in members)
        best.append(Best(kind, names, slowest, mean_interval(harms), difference))
    return tuple(best)


def _chosen(members: Sequence[Contender]) -> tuple[list[Contender], Array]:
    """The variants that are best on each half of the prompts, and (P,) harms, each of the half not chosen by."""
    table = np.array([each.harms for each in members])
    halves = np.arange(table.shape[1]) % 2
    harms = np.empty(table.shape[1])
    chosen: list[Contender] = []
    for half in (0, 1):
        index = int(np.argmin(table[:, halves != half].mean(axis=1)))
        chosen.append(members[index])
        harms[halves == half] = table[index, halves == half]
    return chosen, harms

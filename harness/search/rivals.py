"""What removing blocks competes with at the same theoretical cost: fewer steps and residual reuse, all measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.ablation.modifiers import JOIN, PlacedModifier, block_share, read_modifier
from harness.ablation.ranges import Span, spans
from harness.ablation.removals import Blocks, Removal
from harness.ablation.same_cost import SPEED_UPS
from harness.lab.lab import Lab
from harness.results.harm import harm_by_prompt
from harness.results.matched_compute import FEWER_STEPS, PLAN, REUSE, Contender

_EVERY = (2, 3, 4)  # of residual reuse
Say = Callable[[str], None]


def measure_rivals(lab: Lab, speed_ups: Sequence[float] = SPEED_UPS, say: Say = lambda _line: None) -> list[Contender]:
    """The contenders for each speed-up: plans that leave out blocks, fewer steps, and residual reuse.

    The plans are every range of one stack that is just long enough, and the single blocks that do least harm, taken
    together. Reuse is of whole stacks, of their middles, and of all stacks at once, in every second to fourth step.
    """
    blocks = Blocks.alike(lab.checkpoint.stacks)
    counts = sorted({_needed(blocks.count, speed_up) for speed_up in speed_ups})
    contenders = [*_fewer_steps(lab, say), *_reuse(lab, say)]
    singles = [_plan(lab, blocks, frozenset({block}), say) for block in range(blocks.count)]
    order = sorted(range(blocks.count), key=lambda block: sum(singles[block].harms))
    removals = dict.fromkeys(r for count in counts for r in _removals(lab.checkpoint.stacks, order, count))
    contenders += singles
    return contenders + [_plan(lab, blocks, removal, say) for removal in removals if len(removal) > 1]


def _needed(blocks: int, speed_up: float) -> int:
    """How many blocks have to go for a theoretical speed-up."""
    return next(count for count in range(1, blocks + 1) if count == blocks or blocks / (blocks - count) >= speed_up)


def _removals(stacks: Mapping[str, int], order: Sequence[int], count: int) -> Iterator[Removal]:
    """The ranges of ``count`` blocks of each stack, and the first ``count`` blocks of ``order``."""
    start = 0
    for length in stacks.values():
        for first in range(length - count + 1):
            yield frozenset(range(start + first, start + first + count))
        start += length
    yield frozenset(order[:count])


def _plan(lab: Lab, blocks: Blocks, removal: Removal, say: Say) -> Contender:
    name = blocks.text(removal)
    say(name)
    measured = lab.run_stacks(blocks.plan(removal)).measurement
    harms = tuple(harm_by_prompt(measured).tolist())
    return Contender(PLAN, name, blocks.count / max(1, blocks.count - len(removal)), harms)


def _fewer_steps(lab: Lab, say: Say) -> list[Contender]:
    steps = lab.checkpoint.settings.steps
    return [_modified(lab, FEWER_STEPS, [read_modifier(f"fewer-steps.{n}")], say) for n in range(1, steps)]


def _reuse(lab: Lab, say: Say) -> list[Contender]:
    stacks = lab.checkpoint.stacks
    wholes = [(stack, Span(0, length - 1)) for stack, length in stacks.items()]
    middles = [(stack, span) for stack, length in stacks.items() for span, _ in spans("middle", length)]
    groups = [[each] for each in dict.fromkeys([*wholes, *middles])] + ([wholes] if len(wholes) > 1 else [])
    every = [n for n in _EVERY if n <= lab.checkpoint.settings.steps]
    return [
        _modified(lab, REUSE, [read_modifier(f"reuse.n{n}").at(*place) for place in group], say)
        for group in groups
        for n in every
    ]


def _modified(lab: Lab, kind: str, modifiers: Sequence[PlacedModifier], say: Say) -> Contender:
    name = JOIN.join(map(str, modifiers))
    say(name)
    measured = lab.run(modifiers=modifiers).measurement
    share = block_share(modifiers, lab.checkpoint.stacks, lab.checkpoint.settings.steps)
    return Contender(kind, name, 1.0 / share, tuple(harm_by_prompt(measured).tolist()))

"""Cases: what is asked. A grid of stacks, ranges and strategies becomes cases with stable ids.

Ranges are written by depth so that they carry over between checkpoints: ``middle`` is the central
half of a stack (4 -> 1-2, 6 -> 1-4, 12 -> 3-8), ``first`` and ``last`` what is left, ``middle-lower``
and ``middle-upper`` the halves of a middle with at least four blocks, ``each`` every single block.
Measured groups (harness.analysis.layer_groups) take the place of first, middle and last where they are given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.ablation.block_parts import StackParts
from harness.ablation.plan import Plan, as_plan, split_stack
from harness.ablation.ranges import Span
from harness.ablation.steps import Window, share, suffix
from harness.ablation.strategies import STRATEGIES
from harness.errors import CaseError

BY_HAND = "by-hand"  # the word of a case whose plan was written by hand: no range and no strategy says what it is


@dataclass(frozen=True)
class Case:
    """One ablation of one checkpoint. ``words`` are extra names for ``-k`` (``middle``, ``looped``, ``window``).

    ``window`` is the inclusive range of denoising steps in which the plan holds, None for all of them; ``steps`` is
    how many the checkpoint takes, 0 where that isn't known.
    """

    checkpoint: str
    stack: str
    length: int
    strategy: str
    plan: Plan
    span: Span | None = None
    words: tuple[str, ...] = ()
    window: Window | None = None
    steps: int = 0

    @property
    def id(self) -> str:
        """``flux-tiny-double-L02-04-skip``, in a window ``...-skip-steps-0-1``; a plan by hand ``...-plan-<hash8>``."""
        parts = [self.checkpoint, self.stack, *([self.place] if self.span else []), self.strategy]
        return "-".join(parts) + suffix(self.window)

    @property
    def place(self) -> str:
        """``L02-04``, or ``L03`` for a single block; empty for a plan by hand."""
        if self.span is None:
            return ""
        first, last = self.span.first, self.span.last
        return f"L{first:02d}" if first == last else f"L{first:02d}-{last:02d}"

    @property
    def saving(self) -> float:
        """Share of the stack's block executions that the case leaves out; negative where it adds some.

        A part of a block counts as its share of the block's weights (``PartialBlock.work``). Over all steps
        of a run: a window of half of them halves it. Without ``steps``, that of a step in the window.
        """
        return (1.0 - self.plan.work / self.length) * share(self.window, self.steps)


def stack_length(checkpoint: str, stacks: Mapping[str, int], stack: str) -> int:
    """The number of blocks of a stack. Raises CaseError where the checkpoint has no such stack."""
    if stack not in stacks:
        known = ", ".join(f"{name} ({n} blocks)" for name, n in stacks.items())
        raise CaseError(f"checkpoint {checkpoint!r} has no stack {stack!r}; it has {known}")
    return stacks[stack]


def over_stack(
    checkpoint: str,
    stacks: Mapping[str, int],
    plan: Plan | str,
    stack: str | None = None,
    *,
    names: Mapping[str, str] = MappingProxyType({}),
    parts: Mapping[str, StackParts] = MappingProxyType({}),
) -> tuple[Plan, str]:
    """A plan and its stack from ``"double: 0-3 8-18"``, or from a plan (or its text) and a stack's name.

    The stack may be left out where there is only one; ``names`` (diffusers' name -> the name here) may stand for
    stacks, too. ``parts`` are those that the blocks of each stack have; of a stack that isn't in it, a plan's parts
    aren't checked. Raises PlanError or CaseError.
    """
    stack, plan = split_stack(plan, stack, names)
    _refuse_strategy(plan, stack or next(iter(stacks)))
    if stack is None:
        if len(stacks) > 1:
            raise CaseError(f"plan '{plan}' names no stack; write it like '{next(iter(stacks))}: {plan}'")
        stack = next(iter(stacks))
    length = stack_length(checkpoint, stacks, stack)
    plan = as_plan(plan, length, stack)
    if stack in parts:
        parts[stack].check(plan.named(), length, stack)
    return plan, stack


def _refuse_strategy(plan: Plan | str, stack: str) -> None:
    """Raise CaseError where somebody writes a strategy instead of a plan: ``skip``."""
    name = plan.strip() if isinstance(plan, str) else ""
    if name.partition(".")[0] in STRATEGIES:
        raise CaseError(
            f"{name!r} is a strategy, and a plan says which blocks run: '{stack}: 0 2-4' skips block 1 of a stack of "
            f"five; a strategy needs a range, as in sweep(lab, strategies={name!r}, ranges='middle') or pytest cases/ "
            f"--dit-strategy {name} --dit-range middle"
        )


def by_hand(
    checkpoint: str,
    stacks: Mapping[str, int],
    text: str,
    *,
    names: Mapping[str, str] = MappingProxyType({}),
    parts: Mapping[str, StackParts] = MappingProxyType({}),
) -> Case:
    """The case of ``--dit-plan "double: 0-1 (2|3|4)x3 5"``; ``names`` and ``parts`` as for :func:`over_stack`.

    Raises PlanError or CaseError; also where the plan is the identity, since that is no ablation.
    """
    stack, steps = split_stack(text, names=names)
    _refuse_strategy(steps, stack or next(iter(stacks)))
    if stack is None:
        raise CaseError(f"plan {text!r} names no stack; write it like 'double: 0-1 (2|3|4)x3 5' ({', '.join(stacks)})")
    length = stack_length(checkpoint, stacks, stack)
    plan = as_plan(steps, length, stack).normal()
    if stack in parts:
        parts[stack].check(plan.named(), length, stack)
    if plan.is_identity(length):
        raise CaseError(f"plan {text!r} runs stack {stack!r} as it is: the identity is no ablation")
    digest = hashlib.sha256(f"{stack}: {plan}".encode()).hexdigest()[:8]
    return Case(checkpoint, stack, length, f"plan-{digest}", plan, words=(BY_HAND,))


def slug(name: str) -> str:
    """A name that fits an id: lower case, digits, dots and dashes; a hash is added where something was lost."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    if plain == name:
        return plain
    return f"{plain or 'checkpoint'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"

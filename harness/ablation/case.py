"""Cases: what is asked. A grid of stacks, ranges and strategies becomes cases with stable ids.

Ranges are written by depth so that they carry over between checkpoints: ``middle`` is the central
half of a stack (4 -> 1-2, 6 -> 1-4, 12 -> 3-8), ``first`` and ``last`` what is left, ``middle-lower``
and ``middle-upper`` the halves of a middle with at least four blocks, ``each`` every single block.
Measured groups (harness.analysis.layer_groups) take the place of first, middle and last where they are given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.ablation import guidance
from harness.ablation.block_parts import StackParts
from harness.ablation.guidance import GuidancePass
from harness.ablation.modifiers import JOIN, PlacedModifier, in_order, without_range
from harness.ablation.modifiers import WORD as MODIFIER
from harness.ablation.plan import Plan, as_plan, identity, split_stack
from harness.ablation.ranges import Span
from harness.ablation.steps import Window, share
from harness.ablation.strategies import STRATEGIES
from harness.errors import CaseError
from harness.spelling import did_you_mean

BY_HAND = "by-hand"  # the word of a case whose plan was written by hand: no range and no strategy says what it is


@dataclass(frozen=True)
class Case:
    """One variant of one checkpoint: a plan, a plan with modifiers, or modifiers alone.

    ``words`` are extra names for ``-k`` (``middle``, ``looped``, ``window``, ``modifier``). ``window`` is the inclusive
    range of denoising steps in which the plan holds, None for all of them; ``steps`` is how many the checkpoint takes,
    0 where that isn't known. ``guidance_pass`` is the pass of guidance in which it holds, None for both. Of modifiers
    alone ``strategy`` is empty and the plan is the identity; they are in the range that the first of them has, if any.
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
    modifiers: tuple[PlacedModifier, ...] = ()
    guidance_pass: GuidancePass | None = None

    @property
    def id(self) -> str:
        """``flux-tiny-double-L02-04-skip``, in a window ``...-skip-steps-0-1``; a plan by hand ``...-plan-<hash8>``.

        In one pass of guidance ``sd3-tiny-joint-L05-skip-uncond``, with a window ``...-skip-uncond-steps-0-1``.

        With modifiers ``flux-tiny-double-L01-skip+fewer-steps.3``; modifiers alone take the plan's place:
        ``flux-tiny-single-L02-07-reuse.n2``, ``flux-tiny-fewer-steps.3``.
        """
        by_plan = [self.stack, *([self.place] if self.span else []), self.strategy] if self.strategy else []
        parts = ["-".join(by_plan) + guidance.suffix(self.guidance_pass, self.window)] if by_plan else []
        return f"{self.checkpoint}-" + JOIN.join([*parts, *map(str, self.modifiers)])

    @property
    def label(self) -> str:
        """What is done, without the place where it is done: ``skip+fewer-steps.3``, ``reuse.n2``."""
        first = [self.strategy] if self.strategy else [m.label for m in self.modifiers[:1]]
        return JOIN.join([*first, *map(str, self.modifiers if self.strategy else self.modifiers[1:])])

    @property
    def stack_name(self) -> str:
        """The stack that tables name; empty where modifiers change the whole model."""
        return self.stack if self.strategy or self.span else ""

    @property
    def plan_text(self) -> str:
        """The plan as it is written; empty for modifiers alone."""
        return str(self.plan) if self.strategy else ""

    @property
    def written_by_hand(self) -> bool:
        """Whether its plan was written out, so that nothing is stored for it."""
        return bool(self.strategy) and self.span is None

    @property
    def place(self) -> str:
        """``L02-04``, or ``L03`` for a single block; empty for a plan by hand, or a change of the whole model."""
        return "" if self.span is None else self.span.place

    @property
    def change(self) -> str:
        """What is changed, for messages: ``the plan '0 2-4'``, ``the modifier 'fewer-steps.3'``."""
        with_plan = [f"the plan '{self.plan}'"] if self.strategy else []
        return " and ".join([*with_plan, *(f"the modifier '{m}'" for m in self.modifiers)])

    @property
    def in_whole_forwards(self) -> bool:
        """Whether it holds in all of every forward, so that a forward's time is its own: no window, both passes."""
        return self.window is None and self.guidance_pass is None

    @property
    def saving(self) -> float:
        """Share of the stack's block executions that the plan leaves out; negative where it adds some.

        A part of a block counts as its share of the block's weights (``PartialBlock.work``). Over all steps
        of a run: a window of half of them halves it. Without ``steps``, that of a step in the window. One pass of
        guidance is half of each forward's work.
        """
        passes = 1.0 if self.guidance_pass is None else guidance.SHARE
        return (1.0 - self.plan.work / self.length) * share(self.window, self.steps) * passes


def stack_length(checkpoint: str, stacks: Mapping[str, int], stack: str) -> int:
    """The number of blocks of a stack. Raises CaseError where the checkpoint has no such stack."""
    if stack not in stacks:
        known = ", ".join(f"{name} ({n} blocks)" for name, n in stacks.items())
        raise CaseError(
            f"checkpoint {checkpoint!r} has no stack {stack!r}{did_you_mean(stack, stacks)}; it has {known}"
        )
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


def modified(case: Case, modifiers: Sequence[PlacedModifier], stacks: Mapping[str, int], steps: int = 0) -> Case:
    """A case of a plan with modifiers on it.

    Raises CaseError where one of them doesn't fit the checkpoint, has no range or changes nothing, and for a plan in a
    window of steps or in one pass of guidance.
    """
    checked = _checked(case.checkpoint, modifiers, stacks, steps)
    if case.window is not None:
        raise CaseError(
            f"{case.id!r}: a plan that holds in a window of steps takes no modifiers; leave out the window, or give "
            "the modifier one of its own (reuse.n2-steps-0-1)"
        )
    if case.guidance_pass is not None:
        raise CaseError(f"{case.id!r}: a plan that holds in one pass of guidance takes no modifiers; leave out one")
    words = (*case.words, MODIFIER, *(m.name for m in checked))
    return replace(case, words=words, steps=steps or case.steps, modifiers=checked)


def modifiers_alone(
    checkpoint: str,
    stacks: Mapping[str, int],
    modifiers: Sequence[PlacedModifier],
    *,
    words: Sequence[str] = (),
    steps: int = 0,
) -> Case:
    """The case of modifiers without a plan, of a run of ``steps`` denoising steps (0 where they aren't known).

    Raises CaseError where one of them doesn't fit the checkpoint, has no range or changes nothing.
    """
    checked = _checked(checkpoint, modifiers, stacks, steps)
    stack = checked[0].stack or next(iter(stacks))
    return Case(
        checkpoint,
        stack,
        stacks[stack],
        "",
        identity(stacks[stack]),
        checked[0].span,
        (*words, MODIFIER, *(m.name for m in checked)),
        None,
        steps,
        checked,
    )


def _checked(
    checkpoint: str, modifiers: Sequence[PlacedModifier], stacks: Mapping[str, int], steps: int
) -> tuple[PlacedModifier, ...]:
    checked = in_order([m.checked(checkpoint, stacks, steps) for m in modifiers])
    if lacking := without_range(checked):
        stack, length = next(iter(stacks.items()))
        example = replace(lacking[0], stack=stack, span=Span(0, length - 1))
        raise CaseError(f"modifier {str(lacking[0])!r} needs a range of blocks; write it like {str(example)!r}")
    if idle := [m for m in checked if m.does_nothing(steps)]:
        takes = f", which takes {steps} denoising steps" if steps else ""
        raise CaseError(f"modifier {str(idle[0])!r} asks for no change of checkpoint {checkpoint!r}{takes}")
    return checked


def slug(name: str) -> str:
    """A name that fits an id: lower case, digits, dots and dashes; a hash is added where something was lost."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    if plain == name:
        return plain
    return f"{plain or 'checkpoint'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"

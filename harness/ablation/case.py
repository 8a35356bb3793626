"""Cases: what is asked. A grid of stacks, ranges and strategies becomes cases with stable ids.

Ranges are written by depth so that they carry over between checkpoints: ``middle`` is the central
half of a stack (4 -> 1-2, 6 -> 1-4, 12 -> 3-8), ``first`` and ``last`` what is left, ``middle-lower``
and ``middle-upper`` the halves of a middle with at least four blocks, ``each`` every single block.
Measured groups (harness.analysis.layer_groups) take the place of first, middle and last where they are given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from harness.ablation.plan import Plan, parse
from harness.ablation.steps import WORD, Window, share, split, suffix, within
from harness.ablation.strategies import EVERY, Chosen, Span, choose, names
from harness.errors import CaseError

DEPTHS = ("first", "middle", "last", "middle-lower", "middle-upper", "each")
GROUPED = DEPTHS[:-1]  # what measured groups say otherwise
# A stack's measured groups: inclusive ranges by the names first, middle and last; one that is missing is no range.
Parts = Mapping[str, tuple[int, int]]


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

        Over all steps of a run: a window of half of them halves it. Without ``steps``, that of a step in the window.
        """
        return (1.0 - sum(1 for _ in self.plan.blocks()) / self.length) * share(self.window, self.steps)


@dataclass(frozen=True)
class Ask:
    """One line of a grid: these strategies on these ranges of these stacks."""

    stacks: tuple[str, ...]
    ranges: tuple[str, ...]
    strategies: tuple[str, ...]


def by_depth(length: int) -> dict[str, tuple[int, int]]:
    """First, middle and last by the fractions: the central half, and what is left of it."""
    cut = length // 4
    ends = {"first": (0, cut - 1), "last": (length - cut, length - 1)} if cut else {}
    return {"middle": (cut, length - 1 - cut), **ends}


def spans(name: str, length: int, stack: str = "", parts: Parts | None = None) -> list[tuple[Span, tuple[str, ...]]]:
    """The ranges that a depth name or ``4-7`` stands for in a stack, each with its words for ``-k``.

    ``parts`` are first, middle and last where they were measured. A depth that this stack doesn't have (a middle of
    fewer than four blocks has no halves) gives []. Raises CaseError for an unknown name or a range outside the stack.
    """
    found = {depth: Span(*part) for depth, part in (by_depth(length) if parts is None else parts).items()}
    if name in ("first", "middle", "last"):
        return [(found[name], (name,))] if name in found else []
    if name in ("middle-lower", "middle-upper"):
        middle = found.get("middle")
        if middle is None or len(middle) < 4:
            return []
        half = middle.centre
        lower = name == "middle-lower"
        span = Span(middle.first, half) if lower else Span(half + 1, middle.last)
        return [(span, (name,))]
    if name == "each":
        return [(Span(i, i), ("each",)) for i in range(length)]
    written = re.fullmatch(r"(\d+)(?:-(\d+))?", name.strip())
    where = f" for stack {stack!r}" if stack else ""
    if written is None:
        raise CaseError(
            f"unknown range {name!r}{where}; write a block (3), a range (4-7) or one of {', '.join(DEPTHS)}"
        )
    first, last = int(written[1]), int(written[2] or written[1])
    if last < first or last >= length:
        raise CaseError(f"range {name!r}{where} doesn't fit its {length} blocks (0-{length - 1})")
    return [(Span(first, last), ())]


def expand(
    checkpoint: str,
    stacks: Mapping[str, int],
    asks: Iterable[Ask],
    *,
    windows: Sequence[Window] = (),
    steps: int = 0,
    measured: Mapping[str, Parts] = MappingProxyType({}),
) -> list[Case]:
    """The cases of a grid over a checkpoint's ``stacks`` (name -> number of blocks).

    Equal plans in equal windows are one case, named by the first strategy that gives it; plans equal to the identity
    are none. With ``windows`` of the checkpoint's ``steps`` every case is one in each of them; a window over all
    steps is none. ``measured`` are the groups that take the place of first, middle and last, by stack.
    Raises CaseError for an unknown stack, range or strategy, where a range was written out in numbers on which the
    strategy changes nothing, and for a window beyond the last step.
    """
    cases: dict[tuple[str, Plan, Window | None], Case] = {}
    for ask in asks:
        for stack in ask.stacks:
            length = stack_length(checkpoint, stacks, stack)
            for name in ask.ranges:
                for span, words in spans(name, length, stack, measured.get(stack)):
                    for text in ask.strategies:
                        case = _case(checkpoint, stack, length, span, choose(text), words)
                        for made in [] if case is None else in_windows(case, windows, steps):
                            cases.setdefault((stack, made.plan, made.window), made)
    return sorted(cases.values(), key=lambda c: (list(stacks).index(c.stack), _order(c)))


def in_windows(case: Case, windows: Sequence[Window], steps: int) -> list[Case]:
    """The case in each of some windows of a run of ``steps`` steps, or as it is where there are none.

    Raises CaseError for a window beyond the last step.
    """
    found = dict.fromkeys(within(window, steps, case.checkpoint) for window in windows or (None,))
    return [_in_window(case, window, steps) for window in found]


def _in_window(case: Case, window: Window | None, steps: int) -> Case:
    return case if window is None else replace(case, words=(*case.words, WORD), window=window, steps=steps)


def grid(
    stacks: Mapping[str, int],
    *,
    only: Sequence[str] = (),
    ranges: Sequence[str] = (),
    strategies: Sequence[str] = (),
) -> Ask:
    """The grid of a sweep: what isn't asked for is every stack, the middle, the harness's own strategies."""
    return Ask(tuple(only) or tuple(stacks), tuple(ranges) or ("middle",), tuple(strategies) or EVERY)


def _order(case: Case) -> tuple[int, int, int]:
    span = case.span
    return (0, 0, 0) if span is None else (len(span) > 1, span.first, span.last)


def _case(
    checkpoint: str,
    stack: str,
    length: int,
    span: Span,
    chosen: Chosen,
    words: Sequence[str],
) -> Case | None:
    # A depth that happens to be one block in this stack has no such case; a block asked for by number, or
    # all of them, is a mistake, which plan() names.
    if len(span) < chosen.strategy.least and words and words[0] != "each":
        return None
    plan = chosen.plan(length, span).normal()
    if plan.is_identity(length):
        return None
    looped = ("looped",) if any(k == "t" and v > 1 for k, v in chosen.values) else ()
    return Case(checkpoint, stack, length, str(chosen), plan, span, (*words, *looped))


def stack_length(checkpoint: str, stacks: Mapping[str, int], stack: str) -> int:
    """The number of blocks of a stack. Raises CaseError where the checkpoint has no such stack."""
    if stack not in stacks:
        known = ", ".join(f"{name} ({n} blocks)" for name, n in stacks.items())
        raise CaseError(f"checkpoint {checkpoint!r} has no stack {stack!r}; it has {known}")
    return stacks[stack]


def over_stack(
    checkpoint: str, stacks: Mapping[str, int], plan: Plan | str, stack: str | None = None
) -> tuple[Plan, str]:
    """A plan and its stack from ``"double: 0-3 8-18"``, or from a plan (or its text) and a stack's name.

    The stack may be left out where there is only one. Raises PlanError or CaseError.
    """
    if isinstance(plan, str) and ":" in plan:
        named, plan = (part.strip() for part in plan.split(":", 1))
        if stack is not None and stack != named:
            raise CaseError(f"the plan names stack {named!r}, the call {stack!r}")
        stack = named
    if stack is None:
        if len(stacks) > 1:
            raise CaseError(f"plan '{plan}' names no stack; write it like '{next(iter(stacks))}: {plan}'")
        stack = next(iter(stacks))
    # Printing and parsing again checks the indices of a Plan that was built by hand.
    return parse(str(plan), length=stack_length(checkpoint, stacks, stack), stack=stack), stack


def by_hand(checkpoint: str, stacks: Mapping[str, int], text: str) -> Case:
    """The case of ``--dit-plan "double: 0-1 (2|3|4)x3 5"``.

    Raises PlanError or CaseError; also where the plan is the identity, since that is no ablation.
    """
    stack, colon, steps = text.partition(":")
    if not colon:
        raise CaseError(f"plan {text!r} names no stack; write it like 'double: 0-1 (2|3|4)x3 5' ({', '.join(stacks)})")
    stack = stack.strip()
    length = stack_length(checkpoint, stacks, stack)
    plan = parse(steps, length=length, stack=stack).normal()
    if plan.is_identity(length):
        raise CaseError(f"plan {text!r} runs stack {stack!r} as it is: the identity is no ablation")
    digest = hashlib.sha256(f"{stack}: {plan}".encode()).hexdigest()[:8]
    return Case(checkpoint, stack, length, f"plan-{digest}", plan, words=("by-hand",))


def from_id(checkpoint: str, stacks: Mapping[str, int], text: str) -> Case:
    """The case of a stored id, ``flux-tiny-double-L02-04-skip``; without its words and the number of steps.

    Raises CaseError where it is no id of this checkpoint: another stack, range or strategy, or a plan by hand.
    """
    rest = text.removeprefix(f"{checkpoint}-")
    for stack, length in stacks.items():
        found = re.fullmatch(rf"{re.escape(stack)}-L(\d+)(?:-(\d+))?-(.+)", rest)
        if found is not None and rest != text:
            span = Span(int(found[1]), int(found[2] or found[1]))
            # A strategy of another package may be called like a window.
            strategy, window = (found[3], None) if found[3] in names() else split(found[3])
            case = _case(checkpoint, stack, length, span, choose(strategy), ())
            case = case and replace(case, window=window)
            if case is not None and case.id == text:
                return case
    raise CaseError(f"{text!r} is no case of checkpoint {checkpoint!r} with {', '.join(stacks)}")


def slug(name: str) -> str:
    """A name that fits an id: lower case, digits, dots and dashes; a hash is added where something was lost."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    if plain == name:
        return plain
    return f"{plain or 'checkpoint'}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"

"""A grid of stacks, ranges and strategies becomes cases with stable ids."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from harness.ablation import guidance, same_cost
from harness.ablation.block_parts import StackParts
from harness.ablation.case import Case, modified, modifiers_alone, stack_length
from harness.ablation.guidance import GuidancePass
from harness.ablation.modifiers import JOIN, PlacedModifier, read_modifiers, without_range
from harness.ablation.modifiers import names as modifier_names
from harness.ablation.ranges import Parts, Span, spans
from harness.ablation.steps import WORD, Window, within
from harness.ablation.strategies import ALL_STRATEGIES, ConfiguredStrategy, choose, names
from harness.errors import CaseError, PlanError

_LIKE = {
    "stacks": '("double",)',
    "ranges": '("middle", "3", "4-7")',
    "strategies": '("skip", "reverse")',
    "modifiers": '("fewer-steps.3",)',
}


@dataclass(frozen=True)
class Ask:
    """One line of a grid: these strategies on these ranges of these stacks.

    Each of the ``modifiers`` is put on each of these plans; without strategies they are cases of their own, where one
    that takes a range of blocks and has none is put on these ranges of these stacks. ``same-cost``, by itself, stands
    for fewer steps and residual reuse that save as much time as plans do (:mod:`harness.ablation.same_cost`).
    """

    stacks: tuple[str, ...]
    ranges: tuple[str, ...]
    strategies: tuple[str, ...]
    modifiers: tuple[str, ...] = ()

    def renamed(self, names: Mapping[str, str]) -> Ask:
        """The same; a stack that is one of ``names`` (diffusers' name -> the name here) by its name here."""
        return replace(self, stacks=tuple(dict.fromkeys(names.get(stack, stack) for stack in self.stacks)))

    @property
    def at_same_cost(self) -> bool:
        """Whether it asks for what plans are compared with at the same cost, instead of plans."""
        return not self.strategies and self.modifiers == (same_cost.WORD,)


SAME_COST = Ask((), (), (), (same_cost.WORD,))
"""Fewer steps and residual reuse that save as much time as plans do."""


def expand(
    checkpoint: str,
    stacks: Mapping[str, int],
    asks: Iterable[Ask],
    *,
    windows: Sequence[Window] = (),
    steps: int = 0,
    passes: Sequence[GuidancePass] = (),
    measured: Mapping[str, Parts] = MappingProxyType({}),
    parts: Mapping[str, StackParts] = MappingProxyType({}),
    on_lacking: Callable[[str, str], None] | None = None,
) -> list[Case]:
    """The cases of a grid over a checkpoint's ``stacks`` (name -> number of blocks).

    Equal plans in equal windows are one case, named by the first strategy that gives it; plans equal to the identity
    are none. With ``windows`` of the checkpoint's ``steps`` every case is one in each of them; a window over all
    steps is none. With ``passes`` of guidance every case is one in each of them. ``measured`` are the groups that take
    the place of first, middle and last, by stack. ``parts`` are those that the blocks of each stack have: a strategy
    below the block makes no case of a range that lacks its part, and it is a mistake where this is so of everything
    that an Ask asks it for: ``on_lacking`` is called with the strategy and a message, or CaseError is raised where it
    is None. Of a stack that isn't in ``parts`` nothing is checked.
    Raises CaseError for an Ask of anything but texts, an unknown stack, range or strategy, where a range was written
    out in numbers on which the strategy changes nothing, and for a window beyond the last step.
    """
    cases: dict[Any, Case] = {}
    for ask in asks:
        _check_texts(ask)
        if ask.at_same_cost:
            for whole in _at_same_cost(checkpoint, stacks, steps):
                for part in in_part(whole, windows, steps, passes):
                    cases.setdefault(part.modifiers, part)
            continue
        together = [read_modifiers(text) for text in ask.modifiers]
        lacking = _Lacking()
        for stack in ask.stacks:
            length = stack_length(checkpoint, stacks, stack)
            for name in ask.ranges:
                for span, words in spans(name, length, stack, measured.get(stack)):
                    for text in ask.strategies:
                        case = _case(checkpoint, stack, length, span, choose(text), words)
                        if case is not None and not lacking.has_parts(text, case, parts.get(stack)):
                            continue
                        for part in [] if case is None else in_part(case, windows, steps, passes):
                            for each in with_modifiers(part, together, stacks, steps):
                                key = (stack, each.plan, each.window, each.guidance_pass, each.modifiers)
                                cases.setdefault(key, each)
        if not ask.strategies:
            for case in _alone(checkpoint, stacks, ask, together, steps=steps, measured=measured):
                for part in in_part(case, windows, steps, passes):
                    cases.setdefault(part.modifiers, part)
        lacking.refuse(checkpoint, on_lacking or _refuse)
    return sorted(cases.values(), key=lambda c: (bool(c.modifiers), list(stacks).index(c.stack), _order(c)))


def _at_same_cost(checkpoint: str, stacks: Mapping[str, int], steps: int) -> Iterator[Case]:
    """The cases of :mod:`harness.ablation.same_cost`, with its word for ``-k``."""
    for modifiers in same_cost.same_cost_modifiers(stacks, steps):
        case = modifiers_alone(checkpoint, stacks, modifiers, steps=steps)
        yield replace(case, words=(*case.words, same_cost.WORD))


def with_modifiers(
    case: Case, together: Sequence[Sequence[PlacedModifier]], stacks: Mapping[str, int], steps: int
) -> list[Case]:
    """The case of a plan under each of some modifiers, or groups of them; as it is where there are none.

    Raises CaseError where one doesn't fit the checkpoint.
    """
    return [modified(case, modifiers, stacks, steps) for modifiers in together] or [case]


def _alone(
    checkpoint: str,
    stacks: Mapping[str, int],
    ask: Ask,
    together: Sequence[Sequence[PlacedModifier]],
    *,
    steps: int,
    measured: Mapping[str, Parts],
) -> Iterator[Case]:
    """The cases of modifiers without a plan; those that need a range get each of the Ask's."""
    for modifiers in together:
        lacking = without_range(modifiers)
        if not lacking:
            yield modifiers_alone(checkpoint, stacks, modifiers, steps=steps)
            continue
        for stack in ask.stacks:
            for name in ask.ranges:
                for span, words in spans(name, stacks[stack], stack, measured.get(stack)):
                    placed = [m.at(stack, span) if m in lacking else m for m in modifiers]
                    yield modifiers_alone(checkpoint, stacks, placed, words=words, steps=steps)


@dataclass
class _Lacking:
    """Which strategies of an Ask found the part that they leave out nowhere, each with the first reason."""

    reasons: dict[str, str] = field(default_factory=dict[str, str])
    made: set[str] = field(default_factory=set[str])

    def has_parts(self, strategy: str, case: Case, parts: StackParts | None) -> bool:
        """Whether the blocks of a strategy's case have the parts that its plan names."""
        try:
            if parts is not None:
                parts.check(case.plan.named(), case.length, case.stack)
        except PlanError as error:
            self.reasons.setdefault(strategy, str(error))
            return False
        self.made.add(strategy)
        return True

    def refuse(self, checkpoint: str, on_lacking: Callable[[str, str], None]) -> None:
        """Pass on each strategy that made no case at all because of this, with a message."""
        for strategy, reason in self.reasons.items():
            if strategy not in self.made:
                on_lacking(strategy, f"strategy {strategy!r} makes no case of checkpoint {checkpoint!r}: {reason}")


def _refuse(_strategy: str, message: str) -> None:
    raise CaseError(message)


def _check_texts(ask: Ask) -> None:
    """Raise CaseError where a case file has ``3`` in place of ``("3",)``, or ``"skip"`` in place of ``("skip",)``."""
    for named in fields(ask):
        value: object = getattr(ask, named.name)
        if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
            shown = reprlib.repr(value)
            raise CaseError(
                f"Ask takes tuples of texts: {named.name} is {shown}, and is written like {_LIKE[named.name]}"
            )


def in_part(case: Case, windows: Sequence[Window], steps: int, passes: Sequence[GuidancePass] = ()) -> list[Case]:
    """The case in each of some windows of a run of ``steps`` steps and in each of some passes of guidance.

    Where there are none, it holds in all steps, and in both passes. Modifiers alone hold in the window each. Raises
    CaseError for a window beyond the last step, for a modifier that can't hold in a window, for a plan with modifiers,
    which have windows of their own, and for any modifier in one pass of guidance.
    """
    spans = dict.fromkeys(within(window, steps, case.checkpoint) for window in windows or (None,))
    windowed = [_in_window(case, window, steps) for window in spans]
    return [_in_pass(each, one) for each in windowed for one in dict.fromkeys(passes)] if passes else windowed


def _in_pass(case: Case, guidance_pass: GuidancePass) -> Case:
    if case.modifiers:
        raise CaseError(
            f"modifier {str(case.modifiers[0])!r} holds in both passes of guidance, and only a plan can hold in one; "
            "leave out the pass"
        )
    words = (*case.words, guidance.WORD, str(guidance_pass))
    return replace(case, words=words, guidance_pass=guidance_pass)


def _in_window(case: Case, window: Window | None, steps: int) -> Case:
    if window is None:
        return case
    if case.modifiers:
        return _modifiers_in_window(case, window, steps)
    return replace(case, words=(*case.words, WORD), window=window, steps=steps)


def _modifiers_in_window(case: Case, window: Window, steps: int) -> Case:
    if case.strategy:
        raise CaseError(
            f"{case.id!r}: a plan with modifiers holds in all denoising steps; leave out the window, or give the "
            "modifier one of its own (reuse.n2-steps-0-1)"
        )
    if own := [m for m in case.modifiers if m.window is not None]:
        raise CaseError(f"modifier {str(own[0])!r} has a window of steps of its own; leave out the other one")
    modifiers = tuple(replace(m, window=window).in_steps(case.checkpoint, steps) for m in case.modifiers)
    return replace(case, words=(*case.words, WORD), steps=steps, modifiers=modifiers)


def grid(
    stacks: Mapping[str, int],
    *,
    only: Sequence[str] = (),
    ranges: Sequence[str] = (),
    strategies: Sequence[str] = (),
    modifiers: Sequence[str] = (),
) -> Ask:
    """The grid of a sweep: what isn't asked for is every stack, the middle, the harness's own strategies.

    Modifiers are put on the strategies that are asked for; where none are, they are cases of their own.
    """
    own = () if modifiers else ALL_STRATEGIES
    return Ask(tuple(only) or tuple(stacks), tuple(ranges) or ("middle",), tuple(strategies) or own, tuple(modifiers))


def _order(case: Case) -> tuple[int, int, int]:
    span = case.span
    return (0, 0, 0) if span is None else (len(span) > 1, span.first, span.last)


def _case(
    checkpoint: str,
    stack: str,
    length: int,
    span: Span,
    chosen: ConfiguredStrategy,
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


def from_id(checkpoint: str, stacks: Mapping[str, int], text: str, steps: int = 0) -> Case:
    """The case of a stored id, ``flux-tiny-double-L02-04-skip``; without its words and, unless given, the steps.

    Raises CaseError where it is no id of this checkpoint: another stack, range, strategy or modifier, or a plan by
    hand.
    """
    rest = text.removeprefix(f"{checkpoint}-")
    first, *others = rest.split(JOIN)
    for stack, length in stacks.items() if rest != text else ():
        match = re.fullmatch(rf"{re.escape(stack)}-L(\d+)(?:-(\d+))?-(.+)", first)
        if match is not None and not _names_modifier(first):
            span = Span(int(match[1]), int(match[2] or match[1]))
            # A strategy of another package may be called like a window or a pass.
            strategy, one, window = (match[3], None, None) if match[3] in names() else guidance.split(match[3])
            case = _case(checkpoint, stack, length, span, choose(strategy), ())
            case = case and replace(case, window=window, guidance_pass=one)
            if case is not None and others:
                case = modified(case, read_modifiers(JOIN.join(others)), stacks, steps)
            if case is not None and case.id == text:
                return case
    if rest != text and _names_modifier(first):
        case = modifiers_alone(checkpoint, stacks, read_modifiers(rest), steps=steps)
        if case.id == text:
            return case
    raise CaseError(f"{text!r} is no case of checkpoint {checkpoint!r} with {', '.join(stacks)}")


def _names_modifier(part: str) -> bool:
    """Whether a part of an id is a modifier's."""
    label = re.sub(r"^.+-L\d+(-\d+)?-", "", part)
    return any(re.fullmatch(rf"{re.escape(name)}(\..*|-steps-.*)?", label) for name in modifier_names())

"""Modifiers by name, and how one is written in an id, on the command line and in a mark.

A modifier is written ``fewer-steps.3``, in a range of a stack ``single-L02-07-reuse.n2``, in some denoising steps
``single-L02-07-reuse.n2-steps-0-1``; several that hold together are joined by ``+``.

Another package adds one by an entry point in the group ``harness.modifiers`` that leads to a Modifier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from harness import extensions
from harness.ablation.modifier import CostOf, Modifier, Reach
from harness.ablation.modifier_table import MODIFIERS
from harness.ablation.ranges import Span
from harness.ablation.steps import Window, split, suffix, within
from harness.ablation.strategies import STRATEGIES
from harness.errors import CaseError
from harness.spelling import did_you_mean

WORD = "modifier"  # for -k
JOIN = "+"  # between the parts of an id
_PLACED = re.compile(r"(.+)-L([0-9]{1,6})(?:-([0-9]{1,6}))?-([a-z].*)")


@dataclass(frozen=True)
class PlacedModifier:
    """A modifier with its parameters and, where it takes one, its range of blocks.

    ``values`` are the parameters that are not their defaults, in the order of the declaration; ``window`` is the
    inclusive range of denoising steps in which it holds, None for all of them.
    """

    name: str
    choice: str = ""
    values: tuple[tuple[str, int], ...] = ()
    stack: str = ""
    span: Span | None = None
    window: Window | None = None

    def __str__(self) -> str:
        place = f"{self.stack}-{self.span.place}-" if self.span is not None else ""
        return place + self.label

    @property
    def label(self) -> str:
        """As it is written, without its range: ``reuse.n2``."""
        parts = [self.name, *([self.choice] if self.choice else []), *(f"{k}{v}" for k, v in self.values)]
        return ".".join(parts) + suffix(self.window)

    @property
    def modifier(self) -> Modifier:
        """Its declaration."""
        return modifier_of(self.name)

    @property
    def parameters(self) -> dict[str, int]:
        """Every parameter's value, defaults included."""
        declared = self.modifier.parameters
        return {k: p.default for k, p in declared.items() if p.default is not None} | dict(self.values)

    def cost(self, stacks: Mapping[str, int], steps: int) -> float | None:
        """The block runs of a run of ``steps`` denoising steps over the control's; None where only counting tells.

        ``stacks`` are the lengths of the model's stacks.
        """
        cost = self.modifier.cost
        blocks = 1.0 if self.span is None else len(self.span) / sum(stacks.values())
        return None if cost is None else cost(self.parameters, CostOf(blocks, steps, self.window))

    def does_nothing(self, steps: int) -> bool:
        """Whether it computes what a control of ``steps`` denoising steps computes; of 0, where they aren't known."""
        return self.modifier.does_nothing(self.parameters, steps)

    def checked(self, checkpoint: str, stacks: Mapping[str, int], steps: int = 0) -> PlacedModifier:
        """The same, a window over all ``steps`` left out. Raises CaseError where it doesn't fit the checkpoint."""
        if self.span is not None:
            if self.stack not in stacks:
                known = ", ".join(f"{name} ({n} blocks)" for name, n in stacks.items())
                raise CaseError(f"modifier {str(self)!r}: checkpoint {checkpoint!r} has no such stack; it has {known}")
            if self.span.last >= (length := stacks[self.stack]):
                raise CaseError(f"modifier {str(self)!r}: stack {self.stack!r} has {length} blocks (0-{length - 1})")
        return self.in_steps(checkpoint, steps)

    def in_steps(self, checkpoint: str, steps: int) -> PlacedModifier:
        """The same, a window over all ``steps`` left out. Raises CaseError where it has a window and can't have one."""
        if self.window is not None and not self.modifier.windows:
            raise CaseError(
                f"modifier {self.name!r} changes the whole run and can't hold in some steps; leave out the window"
            )
        return replace(self, window=within(self.window, steps, checkpoint)) if steps else self

    def at(self, stack: str, span: Span) -> PlacedModifier:
        """The same in a range of a stack."""
        return replace(self, stack=stack, span=span)


def names() -> tuple[str, ...]:
    """Every modifier's name: the harness's own, then those of other packages. Raises ExtensionError."""
    taken = frozenset(MODIFIERS) | frozenset(STRATEGIES)
    return (*MODIFIERS, *extensions.found(extensions.MODIFIERS, taken))


def modifier_of(name: str) -> Modifier:
    """The modifier of that name. Raises CaseError naming what there is, ExtensionError for one that is broken."""
    if name in MODIFIERS:
        return MODIFIERS[name]
    if name not in (known := names()):
        raise CaseError(f"unknown modifier {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return _foreign(name)


@cache
def _foreign(name: str) -> Modifier:
    point, modifier = extensions.of_name(extensions.MODIFIERS, name, Modifier)
    if odd := [p for p in modifier.parameters if not re.fullmatch("[a-z]?", p)]:
        raise extensions.broken(point, f"has a parameter {odd[0]!r}; a parameter is one lower case letter, or nothing")
    if odd := [word for word in modifier.choices if not extensions.NAME.fullmatch(word)]:
        raise extensions.broken(
            point, f"has a choice {odd[0]!r}; one is lower case letters and digits with '-' between"
        )
    return replace(modifier, package=extensions.package(point))


def read_modifier(text: str) -> PlacedModifier:
    """One modifier as it is written, with its range or without: ``single-L02-07-reuse.n2``, ``reuse.n2``.

    Raises CaseError naming what is unknown or missing, ExtensionError for a package's modifier that is broken.
    """
    match = _PLACED.fullmatch(text.strip())
    label = match[4] if match else text.strip()
    # A modifier of another package may be called like a window.
    label, window = (label, None) if label in names() else split(label)
    name, *parts = label.split(".")
    placed = replace(_with_values(modifier_of(name), parts, text.strip()), window=window)
    if match is None:
        return placed
    if placed.modifier.reach is not Reach.RANGE:
        raise CaseError(f"modifier {name!r} changes {placed.modifier.reach.value}; leave out the range of {text!r}")
    return placed.at(match[1], Span(int(match[2]), int(match[3] or match[2])))


def _with_values(modifier: Modifier, parts: Sequence[str], text: str) -> PlacedModifier:
    values: dict[str, int] = {}
    choice = ""
    for part in parts:
        number = re.fullmatch(r"([a-z]?)([0-9]{1,4})", part)
        if part in modifier.choices and not choice:
            choice = part
        elif number is not None and number[1] in modifier.parameters and number[1] not in values:
            parameter = modifier.parameters[number[1]]
            value = values[number[1]] = int(number[2])
            if not parameter.least <= value <= parameter.most:
                raise CaseError(
                    f"modifier {text!r}: {part!r} ({parameter.meaning}) is from {parameter.least} to {parameter.most}"
                )
        else:
            raise CaseError(
                f"modifier {modifier.name!r} has no parameter {part!r} in {text!r}; it takes {modifier.takes}"
            )
    lacking = [k or "a number" for k, p in modifier.parameters.items() if p.default is None and k not in values]
    if lacking or (modifier.choices and not choice):
        raise CaseError(f"modifier {text!r} lacks {lacking[0] if lacking else 'a choice'}; it takes {modifier.takes}")
    ordered = {k: values[k] for k, p in modifier.parameters.items() if k in values and values[k] != p.default}
    return PlacedModifier(modifier.name, choice, tuple(ordered.items()))


def read_modifiers(text: str) -> tuple[PlacedModifier, ...]:
    """Modifiers that hold together, joined by ``+``. Raises as :func:`read_modifier`."""
    return tuple(read_modifier(part) for part in text.split(JOIN))


def in_order(modifiers: Sequence[PlacedModifier]) -> tuple[PlacedModifier, ...]:
    """Modifiers in the order in which ids name them: those in a range first. Raises CaseError for one that is twice."""
    ordered = tuple(sorted(modifiers, key=lambda m: (m.span is None, m.stack, m.span or Span(0, 0), m.label)))
    for one, other in pairwise(ordered):
        if one == other or (one.span is None and one.name == other.name):
            raise CaseError(f"modifier {one.name!r} is there twice in {JOIN.join(map(str, ordered))!r}")
    return ordered


def block_share(
    modifiers: Sequence[PlacedModifier], stacks: Mapping[str, int], steps: int, *, saved: float = 0.0
) -> float:
    """The block runs of a run under modifiers over the control's; those whose share only counting tells don't count.

    What is saved in ranges adds up, with each other and with the share ``saved`` that a plan leaves out elsewhere, as
    these are different blocks; a modifier of the whole model leaves its share of the rest.
    """
    share, rest = 1.0 - saved, 1.0
    for modifier in modifiers:
        cost = modifier.cost(stacks, steps)
        if cost is not None and modifier.span is None:
            rest *= cost
        elif cost is not None:
            share -= 1.0 - cost
    return share * rest


def without_range(modifiers: Sequence[PlacedModifier]) -> list[PlacedModifier]:
    """Those that need a range of blocks and have none."""
    return [m for m in modifiers if m.span is None and m.modifier.reach is Reach.RANGE]

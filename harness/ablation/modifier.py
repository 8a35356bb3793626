"""What a modifier is: a named change of how images are made, other than rearranging blocks, with an id part of its own.

Fewer denoising steps, a cache, quantised weights: what removing blocks competes with. Only the declaration stands here,
without torch; what a modifier does is the class that :attr:`Modifier.implementation` names
(:class:`harness.modifiers.base.ModifierRun`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.ablation.steps import Window, share

BARE = ""  # the name of the parameter that is written without a letter: fewer-steps.3


class Reach(enum.Enum):
    """What a modifier changes."""

    MODEL = "the whole model"
    RANGE = "a range of blocks of one stack"


@dataclass(frozen=True)
class Parameter:
    """A whole number that a modifier takes. Without a ``default`` it has to be written."""

    meaning: str
    least: int = 0
    most: int = 9999
    default: int | None = None


@dataclass(frozen=True)
class CostOf:
    """What the theoretical cost of a modifier follows from.

    ``blocks`` is the share of the model's blocks that are in its range, in 0..1; 1 for one without a range. ``steps``
    are the control's denoising steps, 0 where they aren't known, and ``window`` those in which the modifier holds.
    """

    blocks: float
    steps: int
    window: Window | None

    @property
    def active(self) -> int:
        """In how many denoising steps it holds."""
        return round(self.steps * share(self.window, self.steps))


Values = Mapping[str, int]
Cost = Callable[[Values, CostOf], float]


def no_change(_values: Values, _of: CostOf) -> float:
    """The cost of a modifier under which every block runs as often as in the control."""
    return 1.0


@dataclass(frozen=True)
class Modifier:
    """A named change of how images are made.

    ``implementation`` is the class that does it, as ``package.module:Class``. ``parameters`` are whole numbers by a
    letter, or by :data:`BARE` for one without; ``choices`` are words of which one has to be written
    (``scheduler.heun``), with what each is. ``cost`` gives the block runs of a whole run of sampling over the
    control's; None where they depend on the images, so that they can only be counted. ``windows`` says whether it can
    hold in some of the denoising steps alone. ``does_nothing`` says for which values and number of steps it computes
    what the control computes. ``package`` is filled in for a modifier that another package adds.
    """

    name: str
    summary: str
    implementation: str
    reach: Reach = Reach.MODEL
    parameters: Mapping[str, Parameter] = field(default_factory=dict[str, Parameter])
    choices: Mapping[str, str] = field(default_factory=dict[str, str])
    windows: bool = False
    cost: Cost | None = no_change
    does_nothing: Callable[[Values, int], bool] = lambda _values, _steps: False
    package: str = ""

    @property
    def takes(self) -> str:
        """What may be written behind the name: ``n2 (a step of so many is computed), ...``."""
        choices = [f"{word} ({what})" for word, what in self.choices.items()]
        numbers = [
            f"{letter}N ({p.meaning}, {p.least} to {p.most}{'' if p.default is None else f', default {p.default}'})"
            for letter, p in self.parameters.items()
        ]
        return ", ".join([*choices, *numbers]) or "nothing"

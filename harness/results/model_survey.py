"""What is known of a transformer class after a survey: its stacks, how their blocks are called, and what is exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class StackSurvey:
    """One stack.

    ``contract`` are the parameters that a block's outputs replace, in parentheses where it returns a tuple;
    ``by_block`` those whose argument belongs to the block; ``fixed`` says why blocks can't leave their position.
    ``checks`` has what was tried, by name: an empty text where it is exact, else why it isn't possible or what went
    wrong. ``refused`` says why no plan is defined over the stack at all; then there are no checks.
    """

    name: str
    block: str
    contract: str = ""
    by_block: tuple[str, ...] = ()
    fixed: str = ""
    checks: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""

    @property
    def exact(self) -> tuple[str, ...]:
        """The checks that came out bitwise, in their order."""
        return tuple(name for name, reason in self.checks.items() if not reason)

    @property
    def failed(self) -> Mapping[str, str]:
        """The checks that didn't, each with what it says."""
        return {name: reason for name, reason in self.checks.items() if reason}


@dataclass(frozen=True)
class ModelSurvey:
    """One class; ``problem`` says why it could not be built or run, and then nothing is known of its stacks."""

    name: str
    stacks: tuple[StackSurvey, ...] = ()
    problem: str = ""

"""What a modifier's implementation is given, and what it has to provide.

A use of a modifier goes through these calls, in this order: ``calibrate`` on the model as it is; ``installed``, in
which the images are made, with ``before_step`` called between the denoising steps; then ``check``, which raises where
the modifier did not do what it is for. Leaving ``installed``, also by an exception, has to leave the model bitwise as
it was.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from harness import extensions
from harness.ablation.modifiers import PlacedModifier
from harness.ablation.steps import Window
from harness.errors import CaseError, ExtensionError, HarnessError, first_line
from harness.models.sampler import Sampler
from harness.models.stacks import unwrap_compiled

T = TypeVar("T")


@dataclass
class Calibrations:
    """What modifiers have measured of a lab's own model: each once, and kept as long as the lab."""

    _kept: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any])

    def of(self, key: Hashable, measure: Callable[[], T]) -> T:
        """What is kept under the key; measured now where there is nothing yet."""
        if key not in self._kept:
            self._kept[key] = measure()
        return cast("T", self._kept[key])


@dataclass(frozen=True)
class Target:
    """The model that one use of a modifier changes, and how it was asked for.

    ``sampler`` holds the pipeline and makes images; ``placed`` has the parameters and, for a modifier of a range, the
    stack and its inclusive span of blocks. ``prompts`` are the lab's, for calibration, which is kept in
    ``calibrations`` under a key of the modifier's own.
    """

    sampler: Sampler
    placed: PlacedModifier
    prompts: Sequence[str]
    calibrations: Calibrations

    @property
    def parameters(self) -> Mapping[str, int]:
        """Every parameter's value, defaults included."""
        return self.placed.parameters

    @property
    def transformer(self) -> Any:
        """The pipeline's transformer, a torch module without torch.compile around it; diffusers gives it no types."""
        return unwrap_compiled(self.sampler.transformer)

    @property
    def blocks(self) -> tuple[int, ...]:
        """The indices of the blocks in its range; none for a modifier of the whole model."""
        return () if self.placed.span is None else self.placed.span.blocks

    @property
    def steps(self) -> Window:
        """The inclusive range of denoising steps in which it holds."""
        return self.placed.window or (0, self.sampler.settings.steps - 1)

    def holds(self, step: int) -> bool:
        """Whether it holds in that denoising step, 0-based."""
        return self.steps[0] <= step <= self.steps[1]


@dataclass(frozen=True)
class Counts:
    """What ran while images were made: batches, denoising steps of each, forwards and block runs over all of them."""

    batches: int
    steps: int
    forwards: int
    block_runs: int


class ModifierRun(ABC):
    """One use of a modifier on a model.

    ``blocks_traced`` is False where the blocks' calls can't be seen, as under torch.compile.
    """

    blocks_traced = True

    def __init__(self, target: Target) -> None:
        self.target = target

    def calibrate(self) -> None:  # noqa: B027 - most have nothing to calibrate
        """Measure what it needs of the model as it is, before any modifier or plan is installed."""

    @abstractmethod
    def installed(self) -> AbstractContextManager[None]:
        """The modifier at work for the length of a ``with`` block; HarnessError where the model can't take it."""

    def announced_steps(self, steps: int) -> int:
        """How many steps the pipeline announces where ``steps`` are asked for."""
        return steps

    def before_step(self, step: int) -> None:  # noqa: B027 - most do the same in all steps
        """The next denoising step is ``step``, 0-based; 0 begins a batch, and the number of steps ends one."""

    def idle(self, step: int) -> frozenset[int]:  # noqa: ARG002 - a default
        """The positions of its range at which no block runs in that step, whatever the images are."""
        return frozenset()

    def counted_cost(self) -> float | None:
        """The share of the blocks' work that was done, once checked, where that can't be declared; else None."""
        return None

    @abstractmethod
    def check(self, counts: Counts) -> None:
        """Raise SurgeryError where it did not do what it is for."""


def implementation(placed: PlacedModifier) -> type[ModifierRun]:
    """The class that does what a modifier declares. Raises ExtensionError where another package's can't be loaded."""
    modifier = placed.modifier
    module, _, name = modifier.implementation.partition(":")
    try:
        kind = getattr(importlib.import_module(module), name)
    except Exception as error:
        if not modifier.package:
            raise
        raise _broken(
            placed, f"has an implementation that doesn't load: {first_line(error, with_type=True)}"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, ModifierRun)):
        raise _broken(placed, f"has an implementation {modifier.implementation} that is no ModifierRun")
    return kind


def run_of(target: Target) -> ModifierRun:
    """One use of a modifier. Raises what its class raises; ExtensionError where another package's fails."""
    kind = implementation(target.placed)
    try:
        return kind(target)
    except HarnessError:
        raise
    except Exception as error:
        if not target.placed.modifier.package:
            raise
        raise _broken(target.placed, f"fails: {first_line(error, with_type=True)}") from error


def _broken(placed: PlacedModifier, what: str) -> ExtensionError:
    return extensions.broken(extensions.found(extensions.MODIFIERS)[placed.name], what)


def refuse(placed: PlacedModifier, why: str) -> CaseError:
    """The error for a model that a modifier doesn't fit."""
    return CaseError(f"modifier {str(placed)!r}: {why}")

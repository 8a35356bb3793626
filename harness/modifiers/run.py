"""Images under modifiers, alone or on a plan, with the check that they and the plan's blocks ran."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from harness.ablation.alignment import align
from harness.ablation.block_parts import Atom
from harness.ablation.modifiers import PlacedModifier
from harness.ablation.plan import Plan, identity
from harness.errors import HarnessError, SurgeryError, first_line
from harness.models.sampler import Sampler, Samples
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.modifiers.base import Calibrations, Counts, ModifierRun, Target, run_of
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import ablate


class Modified:
    """Plans and modifiers at work. Goes to a sampler as ``between``; call :meth:`check` when the images are made."""

    def __init__(self, sampler: Sampler, plans: Mapping[str, Plan], runs: Sequence[ModifierRun]) -> None:
        self._sampler, self._runs = sampler, runs
        lengths = _lengths(sampler.transformer)
        self._plans = {stack: plans.get(stack, identity(length)).normal() for stack, length in lengths.items()}
        self._lengths = lengths
        self._steps = 0
        self._ran: dict[str, list[Atom]] = {}
        self._starts: list[tuple[int, dict[str, int]]] = []  # a step, and where its part of each stack's trace begins
        self._forwards = 0

    @contextmanager
    def installed(self) -> Iterator[Modified]:
        """Plans and modifiers in place for the length of a ``with`` block; after it the model is bitwise itself."""
        transformer = self._sampler.transformer
        with ExitStack() as contexts:
            for stack, plan in self._plans.items():
                contexts.enter_context(ablate(transformer, plan, stack))
                if all(run.blocks_traced for run in self._runs):
                    self._ran[stack] = contexts.enter_context(traced(transformer, stack))
            handle = unwrap_compiled(transformer).register_forward_pre_hook(self._count_forward)
            contexts.callback(handle.remove)
            for run in self._runs:
                contexts.enter_context(run.installed())
            self._steps = self._sampler.settings.steps
            for run in self._runs:
                self._steps = run.announced_steps(self._steps)
            yield self

    def __call__(self, step: int) -> None:
        """The next denoising step is ``step``, 0-based; 0 begins a batch."""
        self._starts.append((step, {stack: len(ran) for stack, ran in self._ran.items()}))
        for run in self._runs:
            run.before_step(step)

    @property
    def counted_cost(self) -> float:
        """The product of what modifiers counted as their costs in the run that was checked; 1 for none."""
        return math.prod(cost for run in self._runs if (cost := run.counted_cost()) is not None)

    def _count_forward(self, _module: nn.Module, _args: object) -> None:
        self._forwards += 1

    def check(self) -> Counts:
        """What ran. Raises SurgeryError where other steps or blocks ran than asked for, or a modifier did nothing."""
        numbers = [step for step, _ in self._starts]
        # The callback after the last step announces one more, in which nothing runs.
        batches, rest = divmod(len(numbers), self._steps + 1)
        if rest or not batches or numbers != list(range(self._steps + 1)) * batches:
            names = " and ".join(str(run.target.placed) for run in self._runs)
            raise SurgeryError(f"{names}: the pipeline announced steps {numbers} where {self._steps} were asked for")
        for stack in self._ran:
            self._check_stack(stack)
        counts = Counts(
            batches=batches,
            steps=self._steps,
            forwards=self._forwards,
            block_runs=sum(map(len, self._ran.values())),
        )
        for run in self._runs:
            run.check(counts)
        return counts

    def _check_stack(self, stack: str) -> None:
        ran, plan, length = self._ran[stack], self._plans[stack], self._lengths[stack]
        ends = [starts[stack] for _, starts in self._starts[1:]] + [len(ran)]
        for (step, starts), end in zip(self._starts, ends, strict=True):
            part = ran[starts[stack] : end]
            if step == self._steps:
                if part:
                    raise SurgeryError(f"stack {stack!r}: blocks {list(part)} ran after the last step")
                continue
            idle: set[int] = set()
            for run in self._runs:
                if run.target.placed.stack == stack:
                    idle |= run.idle(step)
            left = (
                tuple(each for at, steps in enumerate(align(plan, length)) if at not in idle for each in steps)
                if idle
                else plan.steps
            )
            try:
                check_trace(part, Plan(left), stack)
            except SurgeryError as error:
                raise SurgeryError(f"step {step}: {error}") from None


@contextmanager
def modified(
    sampler: Sampler,
    modifiers: Sequence[PlacedModifier],
    plans: Mapping[str, Plan],
    prompts: Sequence[str],
    calibrations: Calibrations,
) -> Iterator[Modified]:
    """Modifiers on a model, and plans of its stacks if there are any, for the length of a ``with`` block.

    What it gives goes to the sampler as ``between``. ``prompts`` are there for calibration, which happens before
    anything is installed. Raises CaseError where a modifier doesn't fit the model, and what calibrating raises.
    """
    runs = [run_of(Target(sampler, placed, prompts, calibrations)) for placed in modifiers]
    for run in runs:
        run.calibrate()
    with Modified(sampler, plans, runs).installed() as at_work:
        yield at_work


def sample_modified(
    sampler: Sampler,
    prompts: Sequence[str],
    modifiers: Sequence[PlacedModifier],
    plans: Mapping[str, Plan],
    seed: int,
    *,
    calibration_prompts: Sequence[str],
    calibrations: Calibrations,
) -> Samples:
    """Images of the prompts under modifiers and plans.

    Raises CaseError where a modifier doesn't fit the model, SurgeryError where one did nothing or other blocks ran.
    """
    with modified(sampler, modifiers, plans, calibration_prompts, calibrations) as at_work:
        try:
            samples = sampler.sample(prompts, seed, between=at_work)
        except (HarnessError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            names = " and ".join(map(str, modifiers)) + (" on a plan" if plans else "")
            raise SurgeryError(f"the pipeline fails under {names}: {first_line(error, with_type=True)}") from error
    at_work.check()
    return samples


def _lengths(transformer: nn.Module) -> dict[str, int]:
    model = unwrap_compiled(transformer)
    return {name: len(blocks_at(model, attribute)) for name, attribute in stacks(model).items()}

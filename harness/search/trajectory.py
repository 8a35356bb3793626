"""The transformer's inputs at some steps of the control's own trajectory: sampled once, then run under any plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from harness.analysis.velocity import conditional_half
from harness.errors import SurgeryError
from harness.models.sampler import Sampler


class InputBatch(NamedTuple):
    """The arguments of one forward, and for each of its rows the prompt and the step that it is of (indices)."""

    arguments: Mapping[str, Any]
    rows: tuple[tuple[int, int], ...]

    def only(self, kept: Sequence[int]) -> InputBatch:
        """Some of the rows."""
        count = len(self.rows)
        arguments = {
            name: value[list(kept)] if isinstance(value, Tensor) and value.ndim and len(value) == count else value
            for name, value in self.arguments.items()
        }
        return InputBatch(arguments, tuple(self.rows[row] for row in kept))


def trajectory_inputs(
    sampler: Sampler, prompts: Sequence[str], steps: Sequence[int], *, seed: int = 0
) -> list[InputBatch]:
    """The inputs of some prompts at some steps, in batches of at most as many rows as the sampler takes at once.

    A row's prompt and step are indices of ``prompts`` and ``steps``. Under guidance with both passes in one batch only
    the conditional half is kept. Raises SurgeryError where the pipeline came to a wanted step with no forward.
    """
    batches: list[InputBatch] = []
    for start in range(0, len(prompts), sampler.batch):
        part = prompts[start : start + sampler.batch]
        recorder = _Recorder(sampler, len(part), frozenset(steps))
        handle = sampler.transformer.register_forward_pre_hook(recorder.hook, with_kwargs=True)
        try:
            sampler.sample(part, seed, between=recorder.between)
        finally:
            handle.remove()
        if missing := [step for step in steps if step not in recorder.inputs]:
            raise SurgeryError(f"the pipeline ran no forward at step {missing[0]}")
        single = [
            InputBatch(recorder.inputs[step], tuple((start + row, index) for row in range(len(part))))
            for index, step in enumerate(steps)
        ]
        batches += _joined(single, max(1, sampler.batch // len(part)))
    return batches


class _Recorder:
    """Keeps the arguments of the first forward of each wanted step; guidance in two passes makes two a step."""

    def __init__(self, sampler: Sampler, rows: int, wanted: frozenset[int]) -> None:
        self._sampler, self._rows, self._wanted = sampler, rows, wanted
        self._step = -1
        self.inputs: dict[int, Mapping[str, Any]] = {}

    def between(self, step: int) -> None:
        """The next forward belongs to ``step``."""
        self._step = step

    def hook(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Runs before each of the pipeline's forwards."""
        if self._step in self._wanted and self._step not in self.inputs:
            arguments = conditional_half(self._sampler.named(args, kwargs), self._rows)
            self.inputs[self._step] = {**arguments, "return_dict": False}


def _joined(batches: Sequence[InputBatch], most: int) -> Iterator[InputBatch]:
    """Up to ``most`` batches of different steps as one; where what is not a row differs between steps, each alone."""
    for start in range(0, len(batches), most):
        group = batches[start : start + most]
        names = group[0].arguments
        if all(_same_or_rows([batch.arguments[name] for batch in group], len(group[0].rows)) for name in names):
            rows = tuple(row for batch in group for row in batch.rows)
            yield InputBatch(
                {name: _one([b.arguments[name] for b in group], len(group[0].rows)) for name in names}, rows
            )
        else:
            yield from group


def _is_rows(value: Any, rows: int) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == rows


def _same_or_rows(values: Sequence[Any], rows: int) -> bool:
    """Whether an argument has one row for each prompt, or is the same at every step."""
    first = values[0]
    if _is_rows(first, rows):
        return True
    if isinstance(first, Tensor):
        return all(torch.equal(first, value) for value in values[1:])
    return all(bool(first == value) for value in values[1:])


def _one(values: Sequence[Any], rows: int) -> Any:
    return torch.cat(list(values)) if _is_rows(values[0], rows) else values[0]

"""The transformer's inputs at some steps of the control's own trajectory, as the rows of one forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.analysis.velocity import conditional_half
from harness.errors import SurgeryError
from harness.models.sampler import Sampler


def trajectory_inputs(sampler: Sampler, prompts: Sequence[str], steps: Sequence[int], *, seed: int = 0) -> dict[str, Any]:
    """The arguments of a forward with one row for each step and prompt: the prompts of the first step, then the next.

    Under guidance with both passes in one batch only the conditional half is kept. Raises ValueError for more prompts
    than the sampler takes at once, SurgeryError where the arguments of two steps can't be laid into one batch.
    """
    if len(prompts) > sampler.batch:
        raise ValueError(f"{len(prompts)} prompts where the sampler takes {sampler.batch} at once")
    recorder = _Recorder(sampler, len(prompts), steps)
    handle = sampler.transformer.register_forward_pre_hook(recorder.hook, with_kwargs=True)
    try:
        sampler.sample(prompts, seed, between=recorder.between)
    finally:
        handle.remove()
    parts = [recorder.inputs[step] for step in sorted(steps)]
    return {name: _joined(name, [part[name] for part in parts], len(prompts)) for name in parts[0]}


class _Recorder:
    """Keeps the arguments of the first forward of each wanted step."""

    def __init__(self, sampler: Sampler, rows: int, steps: Sequence[int]) -> None:
        self._sampler, self._rows, self._wanted = sampler, rows, frozenset(steps)
        self._step = -1
        self.inputs: dict[int, Mapping[str, Any]] = {}

    def between(self, step: int) -> None:
        """The next forward belongs to ``step``."""
        self._step = step

    def hook(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Runs before each of the pipeline's forwards; guidance in two passes makes two a step."""
        if self._step in self._wanted and self._step not in self.inputs:
            arguments = conditional_half(self._sampler.named(args, kwargs), self._rows)
            self.inputs[self._step] = {**arguments, "return_dict": False}


def _joined(name: str, values: Sequence[Any], rows: int) -> Any:
    """One argument of all steps: its rows one after the other, or the value itself where it is the same at each step."""
    first = values[0]
    if isinstance(first, Tensor) and first.ndim and len(first) == rows:
        return torch.cat(list(values))
    same = all(torch.equal(first, value) if isinstance(first, Tensor) else first == value for value in values[1:])
    if not same:
        raise SurgeryError(f"the transformer's argument {name!r} differs between steps and has no row for each prompt")
    return first

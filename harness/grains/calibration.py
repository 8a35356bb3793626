"""Forwards of the model on its own sampling trajectory, kept to be run again: what constants are calibrated on.

A forward's arguments are latents, text states and a timestep, so that keeping those of a whole run takes little
memory; the states inside are computed again where they are needed.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import SurgeryError
from harness.grains.block_range import plain_model
from harness.grains.forward_facts import named_arguments, timestep_of
from harness.models.kernels import pinned

Forwards = Sequence[Mapping[str, Any]]  # the arguments of each forward, by name, in the order in which they ran

_TEXT = ("encoder_hidden_states", "pooled_projections", "txt_ids")


def record_forwards(transformer: Any, run: Callable[[], object]) -> Forwards:
    """The arguments of every forward that the model makes while ``run()`` runs, as copies.

    ``run`` samples images: ``lambda: sampler.sample(prompts, seed=0)``. Raises SurgeryError where it makes no forward.
    """
    model, _ = plain_model(transformer)
    forwards: list[Mapping[str, Any]] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        arguments = named_arguments(model, args, kwargs)
        forwards.append({k: v.clone() if isinstance(v, Tensor) else v for k, v in arguments.items()})

    handle = model.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        run()
    finally:
        handle.remove()
    if not forwards:
        raise SurgeryError("the run to calibrate on made no forward of the transformer")
    return forwards


def replay(transformer: Any, forwards: Forwards) -> None:
    """Run the forwards again, for what hooks see of them."""
    model, _ = plain_model(transformer)
    with pinned():
        for arguments in forwards:
            model(**arguments)


def with_text_of(forwards: Forwards, others: Forwards) -> Forwards:
    """The same latents and timesteps with the text of ``others``, forward by forward: a pair differs in its text alone.

    Raises SurgeryError where the two runs don't have the same steps.
    """
    steps, other_steps = ([timestep_of(arguments) for arguments in run] for run in (forwards, others))
    if steps != other_steps:
        raise SurgeryError(
            f"paired prompts need the same steps: one run has {len(steps)} forwards, the other {len(other_steps)}"
            if len(steps) != len(other_steps)
            else "paired prompts need the same steps, and these two runs have other timesteps"
        )
    return [
        {**arguments, **{name: other[name] for name in _TEXT if name in other}}
        for arguments, other in zip(forwards, others, strict=True)
    ]


@dataclass(frozen=True)
class TimestepBins:
    """Timesteps in bins: ``edges`` ascend, and bin i has what lies between edge i - 1 and edge i."""

    edges: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.edges) + 1

    def of(self, timestep: float) -> int:
        """The bin of a timestep, 0-based from the least noise on; an edge belongs to the bin above it."""
        return bisect.bisect_right(self.edges, timestep)


def timestep_bins(forwards: Forwards, count: int | None = None) -> TimestepBins:
    """Bins with nearly equal numbers of the run's steps, cut midway between steps; None: a bin for each step.

    No more bins than there are steps are made.
    """
    steps = sorted({timestep_of(arguments) for arguments in forwards})
    count = len(steps) if count is None else max(1, min(count, len(steps)))
    cuts = [round(i * len(steps) / count) for i in range(1, count)]
    return TimestepBins(tuple((steps[cut - 1] + steps[cut]) / 2 for cut in cuts))


def double(tokens: Tensor) -> Tensor:
    """(tokens of all rows, width) in float64, for sums over many forwards."""
    return tokens.detach().flatten(0, -2).to(torch.float64)

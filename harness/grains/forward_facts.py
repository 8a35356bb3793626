"""What a transformer's forward is about, while it runs: its timestep, and how many of its tokens are the image's."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


class ForwardFacts:
    """The forward that runs now. ``timestep`` is the model's argument, of the last row where they differ.

    ``forwards`` counts them, ``image_tokens`` is the number of image tokens that enter the first block.
    """

    def __init__(self) -> None:
        self.forwards = 0
        self.timestep = 0.0
        self.image_tokens = 0


@contextmanager
def forward_facts(model: nn.Module) -> Iterator[ForwardFacts]:
    """Keep the facts of every forward of a model for the length of a ``with`` block."""
    facts = ForwardFacts()

    def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        arguments = named_arguments(model, args, kwargs)
        facts.forwards += 1
        facts.timestep = timestep_of(arguments)
        facts.image_tokens = _image_tokens(model, arguments["hidden_states"])

    handle = model.register_forward_pre_hook(begin, with_kwargs=True, prepend=True)
    try:
        yield facts
    finally:
        handle.remove()


def named_arguments(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a forward by name: AuraFlow's pipeline passes the latents by position."""
    names = list(inspect.signature(type(model).forward).parameters)[1:]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def timestep_of(arguments: Mapping[str, Any]) -> float:
    """The timestep argument of a forward, of its last row."""
    timestep: Tensor = arguments["timestep"]
    return float(timestep.flatten()[-1])


def _image_tokens(model: nn.Module, latents: Tensor) -> int:
    """Packed latents (B, tokens, channels) are tokens already; others (B, channels, h, w) are cut into patches."""
    if latents.ndim == 3:
        return latents.shape[1]
    config: Any = model.config
    return (latents.shape[-2] // config.patch_size) * (latents.shape[-1] // config.patch_size)

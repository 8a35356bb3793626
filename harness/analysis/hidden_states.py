"""Hidden states at the input and output of every block in a forward, their text tokens, and the noise level.

A stack's states are handed over as soon as its last block has run, so that no more than one stack's are ever held.
Nothing here is per diffusers version: arguments are bound by the block's own signature, and what a block returns is
read by :mod:`harness.surgery.block_contract`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from harness.errors import CheckpointError, SurgeryError
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.surgery.block_contract import BlockContract, contract

States = dict[str, list[Tensor]]  # stream -> (N, tokens, width) of what enters block 0 and of what leaves each block
_IMAGE, TEXT = "hidden_states", "encoder_hidden_states"  # arguments of a block
_NAMES = {_IMAGE: "image", TEXT: "text"}
_Number = TypeVar("_Number", float, Tensor)
_TOLERANCE = 0.02  # of the timestep's scale: bf16 rounds to 0.4 %


class Watcher(Protocol):
    """Receives a forward's states while it runs."""

    def begin(self, timestep: float) -> None:
        """A forward starts; ``timestep`` is the model's argument."""
        ...

    def take(self, stack: str, states: States) -> None:
        """A stack's last block has run. A stream in which it gives nothing has one state less."""
        ...

    def end(self) -> None:
        """The forward has ended; every stack was passed to ``take``."""
        ...


@contextmanager
def watch_states(transformer: nn.Module, rows: int, text: int, watcher: Watcher) -> Iterator[None]:
    """Watch every forward of an un-ablated model for the length of a ``with`` block.

    ``rows`` is the number of prompts in a forward: where it has twice as many rows, they are [negative, positive] of
    classifier-free guidance, and only the positive half is kept. ``text`` is the length of the text stream (a block
    that takes one tensor takes [text, image]). States are copies, on the model's device and in its dtype.
    Raises SurgeryError (also from inside the forward) where the blocks don't run one after the other, where the
    number of rows or of text tokens is another, and where a stack's contract can't be read.
    """
    model = unwrap_compiled(transformer)
    # By integer index: the blocks themselves, also where a view stands in front of them.
    watches = [
        _Stack(name, blocks_at(model, a), contract(model, a), rows, text, watcher) for name, a in _attributes(model)
    ]
    names = list(inspect.signature(type(model).forward).parameters)[1:]

    def begin(_module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for watch in watches:
            watch.start()
        # AuraFlow's pipeline passes the latents by position.
        timestep: Tensor = {**dict(zip(names, args, strict=False)), **kwargs}["timestep"]
        watcher.begin(float(timestep.flatten()[-1]))

    def end(_module: nn.Module, _args: tuple[Any, ...], _output: Any) -> None:
        for watch in watches:
            watch.finish()
        watcher.end()

    handles: list[Any] = []
    try:
        for watch in watches:
            handles += watch.hooks()
        handles.append(transformer.register_forward_pre_hook(begin, with_kwargs=True))
        handles.append(transformer.register_forward_hook(end))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Stack:
    """The states of one stack in the forward that runs."""

    def __init__(
        self, name: str, blocks: nn.ModuleList, block_contract: BlockContract, rows: int, text: int, watcher: Watcher
    ) -> None:
        self._name, self._contract, self._rows, self._text, self._watcher = name, block_contract, rows, text, watcher
        self._blocks = [blocks[i] for i in range(len(blocks))]
        # By the class: an instance's forward may be wrapped by an offload hook that hides its parameters.
        self._signature = inspect.signature(type(self._blocks[0]).forward)
        self._joined = block_contract.single and TEXT not in self._signature.parameters
        self.start()

    def start(self) -> None:
        """Forget what a forward that broke off has left."""
        self._states: States = {}
        self._ran = 0

    def finish(self) -> None:
        """Raises SurgeryError where not every block ran."""
        if self._ran != len(self._blocks):
            raise self._misfit(f"{self._ran} of its {len(self._blocks)} blocks ran")

    def hooks(self) -> list[Any]:
        """The handles of all hooks, now in place."""
        handles: list[Any] = [self._blocks[0].register_forward_pre_hook(self._enter, with_kwargs=True)]
        for index, block in enumerate(self._blocks):
            handles.append(block.register_forward_hook(self._leave(index)))
        return handles

    def _enter(self, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        call = self._signature.bind(block, *args, **kwargs).arguments
        self._keep({name: call[name] for name in self._contract.outputs})

    def _leave(self, index: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_block: nn.Module, _args: Any, output: Any) -> None:
            if index != self._ran:
                raise self._misfit(f"block {index} ran where block {self._ran} should have")
            values = (output,) if self._contract.single else output
            self._keep(dict(zip(self._contract.outputs, values, strict=True)))
            self._ran += 1
            if self._ran == len(self._blocks):
                states, self._states = self._states, {}
                self._watcher.take(self._name, states)

        return hook

    def _keep(self, states: Mapping[str, Tensor | None]) -> None:
        parts = {_NAMES[name]: value for name, value in states.items() if value is not None}
        if self._joined:
            both = parts["image"]
            parts = {"text": both[:, : self._text], "image": both[:, self._text :]}
        for name, value in parts.items():
            if len(value) not in (self._rows, 2 * self._rows):
                raise self._misfit(f"{len(value)} rows for {self._rows} prompts")
            if name == "text" and value.shape[1] != self._text:
                raise self._misfit(f"{value.shape[1]} text tokens, where the tokenizers give {self._text}")
            # A copy: a slice would keep the negative half alive, and a later block might write into it.
            self._states.setdefault(name, []).append(value[-self._rows :].clone())

    def _misfit(self, what: str) -> SurgeryError:
        return SurgeryError(f"stack {self._name!r}: {what}; capture needs the model as it is, without a plan on it")


def _attributes(model: nn.Module) -> list[tuple[str, str]]:
    """(stack, attribute) of every stack; raises SurgeryError where there are none."""
    attributes = list(stacks(model).items())
    if not attributes:
        raise SurgeryError(f"{type(model).__name__} has no stack of blocks whose states could be captured")
    return attributes


@dataclass(frozen=True)
class Clock:
    """A schedule: ``levels`` are the noise levels (sigma, 0..1) of its steps.

    The model's timestep is ``scale`` times the level, or where the pipeline counts ``upwards`` from noise to image
    (Lumina 2) ``scale`` times what is left of it to 1.
    """

    scale: float
    levels: tuple[float, ...]
    upwards: bool = False

    def timestep(self, level: _Number) -> _Number:
        """The model's timestep at a noise level, or at a tensor of them."""
        return (1 - level if self.upwards else level) * self.scale

    def level(self, timestep: float) -> float:
        """The step's noise level that a timestep stands for, which has been rounded to the model's dtype."""
        return min(self.levels, key=lambda level: abs(timestep - self.timestep(level)))


def clock(pipeline: Any, first: float) -> Clock:
    """The schedule as the pipeline's scheduler stands now; ``first`` is the timestep argument of its first step.

    Pipelines pass the noise level itself (FLUX, AuraFlow), the scheduler's timestep (SD3: 0..1000), or 1 minus the
    level (Lumina 2); which one is told by the first step. Raises CheckpointError where it is none of them, or where the
    scheduler has no noise levels.
    """
    scheduler = pipeline.scheduler
    sigmas = getattr(scheduler, "sigmas", None)
    name = type(scheduler).__name__
    if sigmas is None or not len(sigmas):
        raise CheckpointError(
            f"the scheduler {name} has no noise levels (sigmas), which bins are cut by; it takes a flow-matching one, "
            "as FLUX and SD3 have"
        )
    levels = tuple(float(s) for s in sigmas[: len(scheduler.timesteps)])
    highest, steps = max(levels), float(scheduler.config.num_train_timesteps)
    for known in (Clock(1.0, levels), Clock(steps, levels), Clock(1.0, levels, upwards=True)):
        if 0 < highest < 1 + _TOLERANCE and abs(first - known.timestep(highest)) < _TOLERANCE * known.scale:
            return known
    raise CheckpointError(
        f"the first step of {type(pipeline).__name__} has sigma {highest:.4g} by its scheduler {name}, and the "
        f"timestep {first:.4g}: neither sigma nor {steps:.0f} times it, nor 1 minus it, as of a flow-matching "
        "scheduler, so the noise levels of its steps aren't known; compare plans by images (cases)"
    )


def content(sampler: Sampler, prompts: Sequence[str]) -> Tensor:
    """(N, text tokens) bool: which tokens of the text stream are each prompt's own, special ones included.

    Padding isn't, nor what the transformer puts ahead of every prompt.
    """
    adapter = sampler.adapter
    masks = {e.name: e.mask(prompts) for e in adapter.text_encoders(sampler.pipeline, sampler.settings)}
    length = sampler.conditions(prompts)["prompt_embeds"].shape[1]
    return adapter.text_tokens(masks, length, unwrap_compiled(sampler.transformer))

"""Running a part of a block, and taking a part of its result: what ``5.attn``, ``5.text`` and ``5*0.5`` do in a model.

A sublayer is left out by putting a module that returns zeros in its place for the length of the block's call, so that
the block's own forward does the rest: norms, gates and residual sums, with whatever LoRA, hook or offload is on them.
So no sum is written anew here, and what is left out isn't computed.

Where attention and feed-forward end in one projection (FLUX's single blocks: ``proj_out`` of ``cat(attention, mlp)``),
zeros in place of one of them leave the columns of the other one, and the projection's bias goes with the feed-forward;
so the two parts add up to the block's update, and without both the update is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from harness.ablation.block_parts import STREAMS, SUBLAYERS, BlockPart, PartialBlock, StackParts
from harness.ablation.plan import Plan
from harness.errors import SurgeryError
from harness.models.spec import FAMILIES, Sublayers
from harness.models.stacks import blocks_at

# A stream by the argument of a block that carries it; a block with one sequence has only the first.
_STREAM_OF = {"hidden_states": BlockPart.IMAGE, "encoder_hidden_states": BlockPart.TEXT}
_SUBLAYERS: Mapping[str, Sublayers] = MappingProxyType(
    {stack.block: stack.sublayers for family in FAMILIES.values() for stack in family.stacks if stack.sublayers}
)

Listener = Callable[[nn.Module, PartialBlock], None]
_listeners: list[Listener] = []


@contextmanager
def told_of_results(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with the block and the part of it, each time that a partial block's result was taken."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class _Zeros(nn.Module):
    """Stands for a sublayer that doesn't run: zeros in the shape that it would return.

    Attention is called with ``hidden_states`` (B, N, d) and in blocks with two streams ``encoder_hidden_states``, and
    returns both; a feed-forward is called with one (B, N, d). ``width`` is another width of the result.
    """

    def __init__(self, width: int | None) -> None:
        super().__init__()
        self._width = width

    def forward(
        self, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The zeros."""
        width = self._width or hidden_states.shape[-1]
        zeros = hidden_states.new_zeros(*hidden_states.shape[:-1], width)
        return zeros if encoder_hidden_states is None else (zeros, torch.zeros_like(encoder_hidden_states))


def sublayers_of(block: nn.Module) -> dict[BlockPart, dict[str, nn.Module]]:
    """A block's attention and feed-forward: name -> submodule. Empty for a block of a class that isn't known."""
    names = _SUBLAYERS.get(type(block).__name__)
    if names is None:
        return {}
    own = block._modules  # noqa: SLF001 - also what is None there
    listed = {BlockPart.ATTENTION: names.attention, BlockPart.FEED_FORWARD: names.feed_forward}
    return {part: {n: module for n in listed[part] if (module := own.get(n)) is not None} for part in listed}


@contextmanager
def without(block: nn.Module, parts: frozenset[BlockPart]) -> Iterator[None]:
    """A block without some of its sublayers, for the length of a ``with`` block; then it is what it was.

    Raises SurgeryError for a block whose sublayers aren't known.
    """
    if not parts:
        yield
        return
    known = sublayers_of(block)
    if not known:
        raise SurgeryError(
            f"it isn't known which submodules of a {type(block).__name__} are its attention and its feed-forward; "
            f"known are those of {', '.join(_SUBLAYERS)}"
        )
    modules = block._modules  # noqa: SLF001 - setattr would do the same, in another order
    left_out = {name: module for part in parts for name, module in known[part].items()}
    ends = _SUBLAYERS[type(block).__name__].feed_forward_bias if BlockPart.FEED_FORWARD in parts else ""
    # Of the projection and of what a LoRA has put around it.
    linears = list(getattr(block, ends).modules()) if ends else []
    biases = [(own, bias) for m in linears if (bias := (own := m._parameters).get("bias")) is not None]  # noqa: SLF001
    try:
        for name, module in left_out.items():
            modules[name] = _Zeros(getattr(module, "out_features", None))
        for own, _ in biases:
            own["bias"] = None
        yield
    finally:
        modules.update(left_out)
        for own, bias in biases:
            own["bias"] = bias


def take(
    block: nn.Module, part: PartialBlock, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The state after a partial block, from the states before it and behind the block that ran.

    The streams that aren't named pass as they were; of the others the factor's share of the update is taken, and all
    of it, without any arithmetic, where the factor is 1. ``block`` is told to the listeners.
    """
    streams = STREAMS & part.parts or STREAMS
    state: dict[str, Tensor] = {}
    for name, start in before.items():
        if _STREAM_OF.get(name, BlockPart.IMAGE) not in streams:
            state[name] = start
        elif part.factor == 1.0 or after[name] is start:
            state[name] = after[name]
        else:
            own = start.to(after[name].device)
            state[name] = own + part.factor * (after[name] - own)
    for listener in _listeners:
        listener(block, part)
    return state


def check_parts(plan: Plan, model: nn.Module, attribute: str, stack: str, outputs: tuple[str, ...]) -> None:
    """Raise PlanError where a plan names a part that the blocks of ``model.<attribute>`` don't have.

    ``outputs`` are what a block returns (:class:`harness.surgery.block_contract.BlockContract`). Raises SurgeryError
    where they should be two streams, and in this diffusers are one.
    """
    blocks = blocks_at(model, attribute)
    kind = type(blocks[0]).__name__
    declared = [s.parts for family in FAMILIES.values() for s in family.stacks if s.block == kind]
    apart = set(_STREAM_OF) <= set(outputs)
    if declared:
        parts = declared[0]
    else:
        reason = f"it isn't known which submodules of a {kind} are its attention and its feed-forward"
        parts = StackParts(STREAMS if apart else frozenset(), dict.fromkeys(SUBLAYERS, reason))
    parts.check(plan.named(), len(blocks), stack)
    if not apart and any(isinstance(b, PartialBlock) and b.parts & STREAMS for b in plan.named()):
        raise SurgeryError(
            f"stack {stack!r}: in diffusers {diffusers.__version__} its blocks return text and image as one sequence, "
            f"so plan '{plan}' can't take one of them; upgrade diffusers to 0.35"
        )

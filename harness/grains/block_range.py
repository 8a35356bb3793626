"""A range of a stack's blocks, and how the text and the image stream enter and leave them.

Double-stream blocks take the streams as two arguments. So do FLUX's single-stream blocks since diffusers 0.35, which
join them inside; AuraFlow's take one tensor, the text tokens ahead of the image tokens. What a block returns is read
from the model's source (:mod:`harness.surgery.block_contract`).
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.models.checkpoints.resolve import FAMILIES
from harness.models.spec import FLUX, Family
from harness.models.stacks import blocks_at, find_stack, transformer_of
from harness.surgery.block_contract import BlockContract, contract

_IMAGE_ARGUMENT, TEXT_ARGUMENT = "hidden_states", "encoder_hidden_states"


class Stream(enum.StrEnum):
    """What a token belongs to. AuraFlow's register tokens count as text: they stand ahead of it, in its stream."""

    IMAGE = "image"
    TEXT = "text"


ARGUMENTS = {Stream.IMAGE: _IMAGE_ARGUMENT, Stream.TEXT: TEXT_ARGUMENT}


@dataclass(frozen=True)
class BlockRange:
    """The blocks of a range by index, with the model and the stack that they belong to.

    ``contract`` says what they return. ``joined``: they take and return one tensor of [text, image] tokens.
    ``one_sequence``: one set of weights works on text and image alike (single-stream), whatever they are called with.
    """

    model: nn.Module
    family: Family
    stack: str
    attribute: str
    blocks: Mapping[int, nn.Module]
    contract: BlockContract
    joined: bool
    one_sequence: bool

    @property
    def common_attention(self) -> bool:
        """Whether the attention is diffusers' common class with a processor: FLUX has one of its own since 0.35."""
        return isinstance(next(iter(self.blocks.values())).get_submodule("attn"), Attention)

    @property
    def flux_before_035(self) -> bool:
        """Whether it is FLUX as diffusers had it before 0.35.

        Its single-stream blocks take one tensor, its norms of queries and keys see (B, heads, tokens, width), and its
        attention doesn't project what comes out of it where it is called without text.
        """
        return self.family is FLUX and self.common_attention

    @property
    def place(self) -> str:
        """``stack 'double' 2-4``, for messages."""
        return f"stack {self.stack!r} {Span(min(self.blocks), max(self.blocks))}"

    def arguments(self, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a block's call, by name."""
        # By the class: an instance's forward may be wrapped by an offload hook that hides its parameters.
        signature = inspect.signature(type(block).forward)
        bound = signature.bind(block, *args, **kwargs)
        call = dict(bound.arguments)
        call.pop(next(iter(signature.parameters)))
        for name, parameter in signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                call |= call.pop(name, {})
        return call

    def inputs(self, call: Mapping[str, Any], image_tokens: int) -> dict[Stream, Tensor]:
        """(B, tokens, width) of each stream that a block is called with, from its arguments by name."""
        if self.joined:
            return split_joined(call[_IMAGE_ARGUMENT], image_tokens)
        return {stream: call[name] for stream, name in ARGUMENTS.items()}

    def outputs(self, output: Any, image_tokens: int) -> dict[Stream, Tensor]:
        """(B, tokens, width) of each stream that a block returns; without the text where it gives none (SD3's last)."""
        if self.joined:
            return split_joined(output, image_tokens)
        values = dict(zip(self.contract.outputs, output, strict=True))
        return {stream: values[name] for stream, name in ARGUMENTS.items() if values[name] is not None}

    def with_outputs(self, output: Any, streams: Mapping[Stream, Tensor]) -> Any:
        """A block's output with some streams replaced, in the form that the block returns.

        A joined tensor needs both streams. A text that the block doesn't give is not added.
        """
        if self.joined:
            return torch.cat([streams[Stream.TEXT], streams[Stream.IMAGE]], dim=1)
        names = {name: stream for stream, name in ARGUMENTS.items()}
        return tuple(
            value if value is None else streams.get(names[name], value)
            for name, value in zip(self.contract.outputs, output, strict=True)
        )


def split_joined(tokens: Tensor, image_tokens: int) -> dict[Stream, Tensor]:
    """The streams of (B, text + image tokens, ...); the image is behind. Raises SurgeryError where it is too short."""
    text = tokens.shape[1] - image_tokens
    if text < 0:
        raise SurgeryError(f"a block got {tokens.shape[1]} tokens where the image alone has {image_tokens}")
    return {Stream.TEXT: tokens[:, :text], Stream.IMAGE: tokens[:, text:]}


def plain_model(transformer: Any) -> tuple[nn.Module, Family]:
    """The transformer itself and its family.

    Raises SurgeryError for a model that torch.compile has wrapped, whose graphs may have been made without what is to
    be put into it, and for a class that isn't in the table of families, since the order of its tokens isn't known.
    """
    part = transformer if isinstance(transformer, nn.Module) else getattr(transformer, "transformer", transformer)
    if hasattr(part, "_orig_mod"):
        raise SurgeryError(
            "the transformer is compiled, and a compiled graph may run without what is changed inside its blocks; "
            "pass the model as it was before torch.compile"
        )
    model = transformer_of(transformer)
    name = type(model).__name__
    if name not in FAMILIES:
        raise SurgeryError(
            f"{name}: where its blocks have text and image isn't known; changes below the block work on "
            f"{', '.join(FAMILIES)}"
        )
    return model, FAMILIES[name]


def block_range(transformer: Any, stack: str | None, span: Span | None) -> BlockRange:
    """The blocks of an inclusive range, None for all of the stack; ``stack`` may be left out where there is one.

    Raises CaseError where the range doesn't fit, SurgeryError for a stack or a model that can't be used.
    """
    model, family = plain_model(transformer)
    name, attribute = find_stack(model, stack)
    stacked = blocks_at(model, attribute)
    length = len(stacked)
    span = span if span is not None else Span(0, length - 1)
    if span.last >= length:
        raise CaseError(f"range '{span}' for stack {name!r} doesn't fit its {length} blocks (0-{length - 1})")
    # By integer index: the blocks themselves, also where a view stands in front of them.
    blocks = {index: stacked[index] for index in span.blocks}
    first = blocks[span.first]
    return BlockRange(
        model,
        family,
        name,
        attribute,
        blocks,
        contract(model, attribute),
        joined=TEXT_ARGUMENT not in inspect.signature(type(first).forward).parameters,
        one_sequence=not hasattr(first, "norm1_context"),
    )

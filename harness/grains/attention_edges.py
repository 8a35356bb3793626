"""Attention edges: which stream's queries read which stream's keys, in a range of blocks.

An edge is written query -> key: with ``image->text`` cut, image tokens no longer read text tokens, while text tokens
still read the image. Cutting an edge sets its logits to minus infinity before the softmax, so the weights of what is
left sum to one. A query without any key left gives zero (before the output projection, whose bias stays). After "Do
Not (Always) Look Right" (which removes the causal mask of language models by groups of layers; a diffusion transformer
has no causal mask, so its four edges take that place).

Softmax over the keys that are left is what scaled_dot_product_attention computes on those keys alone: so queries of
each stream are attended over slices of the keys, and no mask is made.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.block_range import TEXT_ARGUMENT, BlockRange, Stream, block_range
from harness.grains.calls import Calls, counted, remove_after
from harness.grains.forward_facts import ForwardFacts, forward_facts
from harness.spelling import did_you_mean


class Edge(enum.StrEnum):
    """Query -> key."""

    IMAGE_TO_TEXT = "image->text"
    TEXT_TO_IMAGE = "text->image"
    TEXT_TO_TEXT = "text->text"
    IMAGE_TO_IMAGE = "image->image"

    @property
    def query(self) -> Stream:
        """The stream that reads."""
        return Stream(self.value.partition("->")[0])

    @property
    def key(self) -> Stream:
        """The stream that is read."""
        return Stream(self.value.partition("->")[2])

    @property
    def short(self) -> str:
        """``it``: the initials of query and key, for ids."""
        return self.query[0] + self.key[0]


Positions = Mapping[Stream, slice]  # where a sequence has each of its streams, in its order


def configurations() -> tuple[frozenset[Edge], ...]:
    """All 16 sets of edges to cut, from none to all four."""
    edges = tuple(Edge)
    return tuple(frozenset(some) for n in range(len(edges) + 1) for some in itertools.combinations(edges, n))


def edges_text(cut: Collection[Edge]) -> str:
    """``it-tt``: the edges in the order of :class:`Edge`; empty for none."""
    return "-".join(edge.short for edge in Edge if edge in cut)


def parse_edges(text: str) -> frozenset[Edge]:
    """The edges of ``it-tt``. Raises CaseError naming the four there are."""
    known = {edge.short: edge for edge in Edge}
    words = [word.strip() for word in text.split("-") if word.strip()]
    for word in words:
        if word not in known:
            raise CaseError(
                f"unknown attention edge {word!r}{did_you_mean(word, known)}; there are "
                f"{', '.join(f'{e.short} ({e.value})' for e in Edge)}, query -> key, joined by -"
            )
    return frozenset(known[word] for word in words)


@contextmanager
def cut_edges(
    transformer: Any, stack: str | None, span: Span | None, cut: Collection[Edge], *, force: bool = False
) -> Iterator[Calls]:
    """Cut attention edges in an inclusive range of blocks (None: all of the stack) for the length of a ``with`` block.

    Every block of the three families has all four edges. Where a block has a second attention over the image alone
    (SD3.5), it loses its image->image edge with the first. With nothing cut nothing is installed, unless ``force``
    puts every attention through this module, to test it. What the ``with`` block gets counts the attention calls of
    each block.

    Raises CaseError for a range that doesn't fit. Raises SurgeryError, also from inside a forward, where an attention
    doesn't go through ``scaled_dot_product_attention`` (another backend) or is causal; where no attention was reached.
    """
    where = block_range(transformer, stack, span)
    edges = frozenset(cut)
    calls = Calls(f"attention edges {edges_text(edges) or 'none'} in {where.place}")
    with counted(calls, expected=bool(edges) or force) as hooks:
        if edges or force:
            facts = hooks.enter_context(forward_facts(where.model))
            for index, block in where.blocks.items():
                for name, module in block.named_children():
                    if name in ("attn", "attn2") and isinstance(module, nn.Module):
                        _CutAttention(where, index, facts, edges, calls).install(module, hooks)
        yield calls


class _CutAttention:
    """The hooks of one attention module: what it asks of torch while it runs goes through :class:`_EdgeMode`."""

    def __init__(self, where: BlockRange, index: int, facts: ForwardFacts, cut: frozenset[Edge], calls: Calls) -> None:
        self._where, self._index, self._facts, self._cut, self._calls = where, index, facts, cut, calls
        self._mode: Any = None  # an _EdgeMode; entering one isn't typed in torch

    def install(self, module: nn.Module, hooks: ExitStack) -> None:
        """Register both hooks; closing ``hooks`` takes them away."""
        remove_after(hooks, module.register_forward_pre_hook(self._enter, with_kwargs=True))
        remove_after(hooks, module.register_forward_hook(self._leave, always_call=True))

    def _enter(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        hidden: Tensor = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        text: Tensor | None = kwargs.get(TEXT_ARGUMENT, args[1] if len(args) > 1 else None)
        self._mode = _EdgeMode(self._positions(hidden.shape[1], text), self._cut, self._place)
        self._mode.__enter__()

    def _leave(self, _module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        mode, self._mode = self._mode, None
        if mode is None:
            return
        mode.__exit__(None, None, None)
        if output is None:
            return  # the attention itself raised
        if mode.hits != 1:
            raise SurgeryError(
                f"{self._place}: its attention went through scaled_dot_product_attention {mode.hits} times, not once, "
                "so edges can't be cut here; set the attention backend to 'native'"
            )
        self._calls.note(self._index)

    @property
    def _place(self) -> str:
        return f"stack {self._where.stack!r}, block {self._index}"

    def _positions(self, hidden: int, text: Tensor | None) -> Positions:
        if text is None and not self._where.one_sequence:
            return {Stream.IMAGE: slice(0, hidden)}  # SD3.5's second attention, over the image alone
        image = self._facts.image_tokens if text is None else hidden
        texts = hidden - image if text is None else text.shape[1]
        if texts < 0:
            raise SurgeryError(f"{self._place}: {hidden} tokens where the image alone has {image}")
        if self._where.family.text_first:
            return {Stream.TEXT: slice(0, texts), Stream.IMAGE: slice(texts, texts + image)}
        return {Stream.IMAGE: slice(0, image), Stream.TEXT: slice(image, image + texts)}


class _EdgeMode(TorchFunctionMode):
    """While it is entered, scaled_dot_product_attention is :func:`attend` over the edges that are left."""

    def __init__(self, positions: Positions, cut: frozenset[Edge], place: str) -> None:
        super().__init__()
        self.hits = 0
        self._positions, self._cut, self._place = positions, cut, place

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every call of a torch function comes here; only the attention is changed."""
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self.hits += 1
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        call = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
        if call.pop("is_causal", False):
            raise SurgeryError(f"{self._place}: its attention is causal, and edges are defined without a causal mask")
        query, key, value = (call.pop(name) for name in ("query", "key", "value"))
        length = max(part.stop for part in self._positions.values())
        if query.shape[-2] != length or key.shape[-2] != length:
            raise SurgeryError(
                f"{self._place}: attention of {query.shape[-2]} queries over {key.shape[-2]} keys, where the streams "
                f"have {length} tokens together"
            )
        return attend(query, key, value, self._positions, self._cut, **call)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    positions: Positions,
    cut: Collection[Edge],
    *,
    attn_mask: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Attention (B, heads, tokens, width) with some edges cut; ``options`` are scaled_dot_product_attention's own.

    Queries that may read every key are attended as they are; those that may read none give zero.
    """
    parts: list[Tensor] = []
    for stream, rows in positions.items():
        kept = [columns for other, columns in positions.items() if Edge(f"{stream}->{other}") not in cut]
        if len(kept) == len(positions) and not cut:
            return F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask, **options)
        own = query[..., rows, :]
        if not any(columns.stop > columns.start for columns in kept):
            parts.append(own.new_zeros(*own.shape[:-1], value.shape[-1]))
            continue
        keys, values = (_columns(tensor, kept, dim=-2) for tensor in (key, value))
        mask = None if attn_mask is None else _columns(_rows(attn_mask, rows), kept, dim=-1)
        parts.append(F.scaled_dot_product_attention(own, keys, values, attn_mask=mask, **options))
    return torch.cat(parts, dim=-2)


def _columns(tensor: Tensor, kept: list[slice], dim: int) -> Tensor:
    """Some slices of a dimension one after the other; one of size 1 stands for all."""
    if tensor.shape[dim] == 1:
        return tensor
    parts = [tensor.narrow(dim, part.start, part.stop - part.start) for part in kept]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _rows(mask: Tensor, rows: slice) -> Tensor:
    return mask if mask.shape[-2] == 1 else mask[..., rows, :]

"""Attention with edges cut, written out: one softmax over logits with minus infinity, for each family's layout."""

from __future__ import annotations

from collections.abc import Collection
from types import MethodType
from typing import Any

import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

from harness.grains.attention_edges import Edge
from harness.grains.block_range import Stream
from tests.helpers.models import blocks


def plainly_cut(model: nn.Module, stack: str, indices: Collection[int], cut: Collection[Edge], image: int) -> nn.Module:
    """The model (a copy that the caller made) with the attention of some blocks replaced by :func:`_attention`."""
    family = type(model).__name__
    for index in indices:
        block: Any = blocks(model, stack)[index]
        for name in ("attn", "attn2"):
            attention = getattr(block, name, None)
            if attention is not None:
                only_image = name == "attn2"

                def forward(
                    self: Any,
                    hidden_states: Tensor,
                    encoder_hidden_states: Tensor | None = None,
                    image_rotary_emb: Any = None,
                    only_image: bool = only_image,
                ) -> Any:
                    return _attention(
                        self, family, hidden_states, encoder_hidden_states, image_rotary_emb, cut, image, only_image
                    )

                attention.forward = MethodType(forward, attention)
    return model


def _attention(
    attn: Any,
    family: str,
    hidden: Tensor,
    text: Tensor | None,
    rotary: Any,
    cut: Collection[Edge],
    image: int,
    only_image: bool,
) -> Any:
    width = attn.to_q.out_features // attn.heads

    def heads(tensor: Tensor, norm: Any) -> Tensor:
        split = tensor.unflatten(-1, (attn.heads, width))
        return split if norm is None else norm(split)

    parts = {"q": heads(attn.to_q(hidden), attn.norm_q), "k": heads(attn.to_k(hidden), attn.norm_k)}
    parts["v"] = heads(attn.to_v(hidden), None)
    if text is None:
        streams = [Stream.IMAGE] * hidden.shape[1]
        if not only_image:
            streams[: hidden.shape[1] - image] = [Stream.TEXT] * (hidden.shape[1] - image)
    else:
        added = {
            "q": heads(attn.add_q_proj(text), attn.norm_added_q),
            "k": heads(attn.add_k_proj(text), attn.norm_added_k),
            "v": heads(attn.add_v_proj(text), None),
        }
        last = family.startswith("SD3")  # the text stands behind the image there
        parts = {n: torch.cat([parts[n], added[n]] if last else [added[n], parts[n]], dim=1) for n in parts}
        tokens = ([Stream.IMAGE] * image, [Stream.TEXT] * text.shape[1])
        streams = [*tokens[0], *tokens[1]] if last else [*tokens[1], *tokens[0]]
    if rotary is not None:
        # (B, heads, tokens, width), as every release takes them; since 0.35 sequence_dim=1 says otherwise.
        parts |= {n: apply_rotary_emb(parts[n].transpose(1, 2), rotary).transpose(1, 2) for n in ("q", "k")}
    logits = torch.einsum("bqhd,bkhd->bhqk", parts["q"], parts["k"]) / width**0.5
    for i, query in enumerate(streams):
        for j, key in enumerate(streams):
            if Edge(f"{query}->{key}") in cut:
                logits[:, :, i, j] = -torch.inf
    weights = torch.nan_to_num(torch.softmax(logits, dim=-1), nan=0.0)  # a row without keys is all NaN
    out = torch.einsum("bhqk,bkhd->bqhd", weights, parts["v"]).flatten(2)
    if text is None:
        return out if getattr(attn, "pre_only", False) else attn.to_out[0](out)
    where = {s: [i for i, stream in enumerate(streams) if stream is s] for s in Stream}
    of_text = out[:, where[Stream.TEXT]]
    return attn.to_out[0](out[:, where[Stream.IMAGE]]), of_text if attn.context_pre_only else attn.to_add_out(of_text)

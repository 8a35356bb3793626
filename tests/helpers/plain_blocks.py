"""A block's forward written out by hand, with its attention or its feed-forward left out: the slow reference.

Norms, attention and feed-forward are the block's own modules; how they are added up is written here anew.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

State = dict[str, torch.Tensor]


def plain_block(block: nn.Module, call: dict, cut: str = "") -> State:
    """What a block makes of the arguments that it is called with, without ``cut``: "attn", "ff" or both."""
    return _FORWARDS[type(block).__name__](block, call, {"attn", "ff"} - set(cut.split()))


def _one(gate):
    return gate.unsqueeze(1)


def _shifted(x, shift, scale):
    return x * (1 + _one(scale)) + _one(shift)


def _flux_double(block, call, runs):
    x, c, temb = call["hidden_states"], call["encoder_hidden_states"], call["temb"]
    n, gate, shift, scale, gate_ff = block.norm1(x, emb=temb)
    m, c_gate, c_shift, c_scale, c_gate_ff = block.norm1_context(c, emb=temb)
    if "attn" in runs:
        a, b = block.attn(hidden_states=n, encoder_hidden_states=m, image_rotary_emb=call["image_rotary_emb"])
        x, c = x + _one(gate) * a, c + _one(c_gate) * b
    if "ff" in runs:
        x = x + _one(gate_ff) * block.ff(_shifted(block.norm2(x), shift, scale))
        c = c + _one(c_gate_ff) * block.ff_context(_shifted(block.norm2_context(c), c_shift, c_scale))
    return {"encoder_hidden_states": c, "hidden_states": x}


def _flux_single(block, call, runs):
    """Columns of proj_out: the attention's without the bias, the feed-forward's with it."""
    c = call.get("encoder_hidden_states")  # before diffusers 0.35 the two come as one
    whole = call["hidden_states"] if c is None else torch.cat([c, call["hidden_states"]], dim=1)
    n, gate = block.norm(whole, emb=call["temb"])
    weight, bias, width = block.proj_out.weight, block.proj_out.bias, whole.shape[-1]
    update = torch.zeros_like(whole)
    if "attn" in runs:
        a = block.attn(hidden_states=n, image_rotary_emb=call["image_rotary_emb"])
        update = update + functional.linear(a, weight[:, :width])
    if "ff" in runs:
        hidden = functional.gelu(block.proj_mlp(n), approximate="tanh")
        update = update + functional.linear(hidden, weight[:, width:], bias)
    whole = whole + _one(gate) * update
    if c is None:
        return {"hidden_states": whole}
    return {"encoder_hidden_states": whole[:, : c.shape[1]], "hidden_states": whole[:, c.shape[1] :]}


def _sd3(block, call, runs):
    x, c, temb = call["hidden_states"], call["encoder_hidden_states"], call["temb"]
    n, gate, shift, scale, gate_ff, *second = block.norm1(x, emb=temb)
    if block.context_pre_only:
        m = block.norm1_context(c, temb)
    else:
        m, c_gate, c_shift, c_scale, c_gate_ff = block.norm1_context(c, emb=temb)
    if "attn" in runs:
        a, b = block.attn(hidden_states=n, encoder_hidden_states=m)
        x = x + _one(gate) * a
        if second:
            x = x + _one(second[1]) * block.attn2(hidden_states=second[0])
        c = c if block.context_pre_only else c + _one(c_gate) * b
    if "ff" in runs:
        x = x + _one(gate_ff) * block.ff(_shifted(block.norm2(x), shift, scale))
        if not block.context_pre_only:
            c = c + _one(c_gate_ff) * block.ff_context(_shifted(block.norm2_context(c), c_shift, c_scale))
    return {"encoder_hidden_states": c, "hidden_states": x}


def _auraflow_double(block, call, runs):
    """The attention's result goes into the feed-forward and is not added to the block's output."""
    x, c, temb = call["hidden_states"], call["encoder_hidden_states"], call["temb"]
    n, gate, shift, scale, gate_ff = block.norm1(x, emb=temb)
    m, c_gate, c_shift, c_scale, c_gate_ff = block.norm1_context(c, emb=temb)
    if "ff" not in runs:
        return {"encoder_hidden_states": c, "hidden_states": x}
    y, d = x, c
    if "attn" in runs:
        a, b = block.attn(hidden_states=n, encoder_hidden_states=m)
        y, d = x + _one(gate) * a, c + _one(c_gate) * b
    return {
        "encoder_hidden_states": c
        + _one(c_gate_ff) * block.ff_context(_shifted(block.norm2_context(d), c_shift, c_scale)),
        "hidden_states": x + _one(gate_ff) * block.ff(_shifted(block.norm2(y), shift, scale)),
    }


def _auraflow_single(block, call, runs):
    x = call["hidden_states"]
    n, gate, shift, scale, gate_ff = block.norm1(x, emb=call["temb"])
    if "ff" not in runs:
        return {"hidden_states": x}
    y = x + _one(gate) * block.attn(hidden_states=n) if "attn" in runs else x
    return {"hidden_states": x + _one(gate_ff) * block.ff(_shifted(block.norm2(y), shift, scale))}


_FORWARDS = {
    "FluxTransformerBlock": _flux_double,
    "FluxSingleTransformerBlock": _flux_single,
    "JointTransformerBlock": _sd3,
    "AuraFlowJointTransformerBlock": _auraflow_double,
    "AuraFlowSingleTransformerBlock": _auraflow_single,
}

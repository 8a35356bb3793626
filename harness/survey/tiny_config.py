"""A small config for any transformer class: the defaults of its signature, made smaller by one rule, and exceptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from torch import nn

HEADS, HEAD, BLOCKS = 2, 16, 4
WIDTH = HEADS * HEAD
CHANNELS = 4
_AXES = {2: (8, 8), 3: (4, 6, 6), 4: (4, 4, 4, 4)}  # of rotary positions, which add up to a head

# By name, the first that matches; a pattern without a value leaves the default as it is.
_RULE: tuple[tuple[str, Any], ...] = (
    (
        r".*(theta|eps|scale|interval|rope_max|max_seq|vocab|max_pos|base_height|base_width|sampling_rate|hop_length).*",
        None,
    ),
    (r".*(refiner|perceiver_num|layerwise|text_blocks).*", 2),
    (r"(num_|n|n_|dit_)?.*(layers|depth|blocks)", BLOCKS),
    (r".*(num_.*heads|n_.*heads|num_heads|nheads|dit_heads)", HEADS),
    (r".*(head_dim|dim_head)", HEAD),
    (
        r"(audio_)?(in|out|io|latent)_(channels?|dim)|in_visual_dim|out_visual_dim|.*latent_channel|out_channels",
        CHANNELS,
    ),
    (r"sample_(size|height|width)|pos_embed_max_size", 8),
    (r"sample_frames", 2),
    (r".*(axes_dim|axes_dims|rope_dim|rope_axes|mrope).*", _AXES),
    (r".*", WIDTH),
)
_LARGE = 48  # a number that no pattern but the last one names is made smaller only where it is larger than this


def tiny_config(model: type[nn.Module]) -> dict[str, Any]:
    """The arguments that build a class small: stacks of four blocks, two heads of 16."""
    parameters = inspect.signature(inspect.unwrap(model.__init__)).parameters
    config = {
        name: small
        for name, parameter in parameters.items()
        if name != "self" and (small := _small(name, parameter.default)) is not parameter.default
    }
    exceptions = EXCEPTIONS.get(model.__name__, {})
    return config | {name: value for name, value in exceptions.items() if name in parameters}


def _small(name: str, default: Any) -> Any:
    value = next(value for pattern, value in _RULE if re.fullmatch(pattern, name))
    if value is None or isinstance(default, bool | str) or default is None:
        return default
    if isinstance(value, Mapping):
        axes = isinstance(default, tuple | list) and all(isinstance(n, int) for n in default)
        return value.get(len(default), default) if axes else default
    if not isinstance(default, int):
        return default
    return default if default <= value or (value == WIDTH and default <= _LARGE) else value


# Two latent frames of 4 x 4, and six tokens of text: they have one table of positions together.
_COG_VIDEO = {"sample_width": 4, "sample_height": 4, "sample_frames": 5, "max_text_seq_length": 6}

# A motion encoder of few channels, by the size of the image at each of its levels.
_FACE = {"motion_encoder_channel_sizes": {"4": 8, "8": 8, "16": 8, "32": 8}}

# What a class needs beyond the rule: arguments without a default, and sizes that must fit each other.
EXCEPTIONS: Mapping[str, Mapping[str, Any]] = {
    "AuraFlowTransformer2DModel": {"pos_embed_max_size": 16},
    "AceStepTransformer1DModel": {"in_channels": WIDTH + 8, "audio_acoustic_hidden_dim": WIDTH, "sliding_window": 2},
    "BriaFibo2Transformer2DModel": {
        "injection_layer_ids": (1, 3),
        "axes_lens": (64, 32, 32),
        "min_num_gist_tokens": 2,
        "max_num_gist_tokens": 4,
        "gist_step": 1,
        "gist_min_text_len": 2,
        "gist_max_text_len": 8,
    },
    "CogVideoXTransformer3DModel": _COG_VIDEO,
    "ConsisIDTransformer3DModel": _COG_VIDEO,
    "Cosmos3OmniTransformer": {"vocab_size": 64, "patch_latent_dim": 16, "rope_axes_dim": (2, 3, 3)},
    "DreamLiteTransformer2DModel": {
        "in_channels": WIDTH,
        "cross_attention_dim": WIDTH,
        "norm_num_groups": 4,
        "num_layers": BLOCKS,
    },
    "EasyAnimateTransformer3DModel": {"in_channels": CHANNELS, "out_channels": CHANNELS, "patch_size": 2},
    "HiDreamImageTransformer2DModel": {
        "patch_size": 2,
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "caption_channels": (WIDTH, WIDTH),
        "llama_layers": tuple(range(8)),
        "max_resolution": (8, 8),
        "axes_dims_rope": (8, 4, 4),
    },
    "HunyuanDiT2DModel": {"in_channels": CHANNELS, "patch_size": 2, "sample_size": 8, "hidden_size": WIDTH},
    "HunyuanVideo15Transformer3DModel": {"in_channels": 9},
    "HunyuanVideoFramepackTransformer3DModel": {"has_clean_x_embedder": True, "has_image_proj": True},
    "Ideogram4Transformer2DModel": {"mrope_section": (2, 2, 2)},
    "LatteTransformer3DModel": {
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "patch_size": 2,
        "num_layers": BLOCKS,
        "video_length": 2,
        "cross_attention_dim": WIDTH,
        "caption_channels": WIDTH,
        "num_embeds_ada_norm": 1000,
        "norm_type": "ada_norm_single",
        "norm_elementwise_affine": False,
        "activation_fn": "gelu-approximate",
        "attention_bias": True,
    },
    "LuminaNextDiT2DModel": {"num_kv_heads": HEADS, "sample_size": 8},
    "MiniMaxH3Transformer3DModel": {"rope_freq_dim": 2},
    "MiniMaxMusic3Transformer1DModel": {"rotary_dim": 8},
    "OmniGenTransformer2DModel": {
        "vocab_size": 64,
        "pad_token_id": 0,
        "pos_embed_max_size": 8,
        "rope_scaling": {"long_factor": [1] * (HEAD // 2), "short_factor": [1] * (HEAD // 2), "type": "su"},
    },
    "PRXTransformer2DModel": {"axes_dim": (8, 8)},
    "PixArtTransformer2DModel": {"out_channels": 2 * CHANNELS},
    "Transformer2DModel": {"in_channels": WIDTH, "norm_num_groups": 4, "num_layers": BLOCKS},
    "TransformerTemporalModel": {"in_channels": WIDTH, "norm_num_groups": 4, "num_layers": BLOCKS},
    "RFD4ProteinaTransformer": {
        "feats_seq": ("xt_bb_ca", "xt_local_latents"),
        "feats_pair_repr": ("xt_bb_ca_pair_dists",),
        "feats_cond_seq": ("time_emb_bb_ca", "time_emb_local_latents"),
    },
    "SanaWMTransformer3DModel": {"softmax_every_n": 2},
    "WanAnimate2Transformer3DModel": {"use_img_emb": False},
    "WanAnimateTransformer3DModel": {"in_channels": 2 * CHANNELS + 4, "inject_face_latents_blocks": 2} | _FACE,
    "WanVACETransformer3DModel": {"vace_layers": (0, 2), "vace_in_channels": CHANNELS},
    "ZImageTransformer2DModel": {"axes_lens": (64, 32, 32), "siglip_feat_dim": WIDTH},
}

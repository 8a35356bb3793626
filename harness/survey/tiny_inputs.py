"""Inputs for one forward of a small transformer, by the names of its forward's parameters, and exceptions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.survey.tiny_config import WIDTH

BATCH, TEXT, SIDE, FRAMES = 2, 6, 4, 2  # images or videos, text tokens, latent pixels a side, latent frames
TOKENS = SIDE * SIDE


def tiny_inputs(model: nn.Module) -> dict[str, Any]:
    """The arguments of one forward; the same on every call."""
    rule = _Rule(model)
    parameters = inspect.signature(inspect.unwrap(type(model).forward)).parameters
    arguments = {name: value for name in parameters if (value := rule.of(name)) is not None}
    exceptions = EXCEPTIONS.get(type(model).__name__)
    if exceptions is not None:
        arguments |= {name: value for name, value in exceptions(rule).items() if name in parameters}
    return {name: value for name, value in arguments.items() if value is not _LEFT_OUT}


_LEFT_OUT = object()


class _Rule:
    """Arguments by the name of a parameter, for one model."""

    def __init__(self, model: nn.Module) -> None:
        self.config: Any = getattr(model, "config", None)
        self.name = type(model).__name__
        self.packed = "img_ids" in inspect.signature(inspect.unwrap(type(model).forward)).parameters
        self._generator = torch.Generator().manual_seed(1)

    def random(self, *shape: int) -> Tensor:
        """Random numbers."""
        return torch.randn(shape, generator=self._generator)

    def of(self, name: str) -> Any:
        """The argument; None for a parameter that needs none."""
        make = _BY_NAME.get(name)
        return None if make is None else make(self)

    def latents(self) -> Tensor:
        """(B, N, C) for packed tokens and for sound, (B, C, H, W) for images, (B, C, T, H, W) for videos."""
        channels = getattr(self.config, "in_channels", WIDTH)
        if self.packed or "1D" in self.name:
            return self.random(BATCH, TOKENS, channels)
        if "3D" in self.name:
            return self.random(BATCH, channels, FRAMES, SIDE, SIDE)
        return self.random(BATCH, channels, SIDE, SIDE)

    def ids(self, tokens: int) -> Tensor:
        """(N, axes) positions: those of an image for its tokens, zeros for text."""
        axes = next((getattr(self.config, n) for n in ("axes_dims_rope",) if hasattr(self.config, n)), (0, 0, 0))
        ids = torch.zeros(tokens, len(axes))
        if tokens == TOKENS:
            ids[:, -2:] = torch.cartesian_prod(torch.arange(float(SIDE)), torch.arange(float(SIDE)))
        return ids


def _sizes(_: _Rule) -> Tensor:
    return torch.tensor([[SIDE * 8.0, SIDE * 8.0]] * BATCH)


_BY_NAME: Mapping[str, Callable[[_Rule], Any]] = {
    "hidden_states": _Rule.latents,
    "encoder_hidden_states": lambda r: r.random(BATCH, TEXT, WIDTH),
    "timestep": lambda _: torch.tensor([3.0, 8.0]),
    "timestep_r": lambda r: torch.tensor([2.0, 5.0]) if getattr(r.config, "use_meanflow", True) else None,
    "r_timestep": lambda _: torch.tensor([2.0, 5.0]),
    "pooled_projections": lambda r: r.random(BATCH, WIDTH),
    "img_ids": lambda r: r.ids(TOKENS),
    "txt_ids": lambda r: r.ids(TEXT),
    "guidance": lambda r: torch.tensor([3.0, 3.0]) if getattr(r.config, "guidance_embeds", False) else None,
    "encoder_attention_mask": lambda _: torch.ones(BATCH, TEXT, dtype=torch.bool),
    "encoder_hidden_states_mask": lambda _: torch.ones(BATCH, TEXT, dtype=torch.bool),
    "original_size": _sizes,
    "target_size": _sizes,
    "crop_coords": lambda _: torch.zeros(BATCH, 2),
    "class_labels": lambda _: torch.tensor([1, 2]),
    "return_dict": lambda _: False,
}


def _mask(_: _Rule) -> Tensor:
    return torch.ones(BATCH, TEXT, dtype=torch.bool)


def _frames_first(r: _Rule) -> dict[str, Any]:
    return {"hidden_states": r.latents().transpose(1, 2)}


def _packed(r: _Rule) -> dict[str, Any]:
    return {"hidden_states": r.random(BATCH, TOKENS, r.config.in_channels)}


def _indices(*tokens: int) -> list[Tensor]:
    """The places of several runs of tokens in one sequence."""
    places: list[Tensor] = []
    for number in tokens:
        start = sum(len(run) for run in places)
        places.append(torch.arange(start, start + number))
    return places


def _any_flow(r: _Rule) -> dict[str, Any]:
    steps = torch.tensor([[3.0] * FRAMES, [8.0] * FRAMES])
    return {**_frames_first(r), "timestep": steps, "r_timestep": steps / 2, "chunk_partition": [1, 1]}


def _bria_fibo(r: _Rule) -> dict[str, Any]:
    layers = r.config.num_layers + r.config.num_single_layers
    return {"text_encoder_layers": [r.random(BATCH, TEXT, WIDTH) for _ in range(layers)]}


def _bria_fibo2(r: _Rule) -> dict[str, Any]:
    return {"encoder_hidden_states": r.random(BATCH, 1 + len(r.config.injection_layer_ids), TEXT, WIDTH)}


def _cosmos3(r: _Rule) -> dict[str, Any]:
    text, vision = _indices(3, 4)
    sizes = (1, 4, 4)
    return {
        "input_ids": torch.tensor([1, 2, 3]),
        "text_indexes": text,
        "und_len": 3,
        "sequence_length": 7,
        "position_ids": torch.arange(7).expand(3, 7),
        "vision_timesteps": torch.full((4,), 3.0),
        "vision_tokens": [r.random(1, r.config.latent_channel, *sizes)],
        "vision_token_shapes": [(1, 2, 2)],
        "vision_sequence_indexes": vision,
        "vision_mse_loss_indexes": vision,
        "vision_noisy_frame_indexes": [torch.tensor([0])],
    }


def _glm(_: _Rule) -> dict[str, Any]:
    tokens = TOKENS // 4
    return {
        "prior_token_id": torch.arange(tokens).expand(BATCH, tokens),
        "prior_token_drop": torch.zeros(BATCH, tokens, dtype=torch.bool),
    }


def _hidream(r: _Rule) -> dict[str, Any]:
    return {
        "hidden_states": r.random(BATCH, r.config.in_channels, SIDE, SIDE),
        "img_ids": _LEFT_OUT,
        "timesteps": torch.tensor([3.0, 8.0]),
        "pooled_embeds": r.random(BATCH, WIDTH),
        "encoder_hidden_states_t5": r.random(BATCH, TEXT, WIDTH),
        "encoder_hidden_states_llama3": r.random(len(r.config.llama_layers), BATCH, TEXT, WIDTH),
    }


def _hunyuan_dit(r: _Rule) -> dict[str, Any]:
    c = r.config
    head = c.hidden_size // c.num_attention_heads
    return {
        "hidden_states": r.random(BATCH, c.in_channels, 8, 8),
        "encoder_hidden_states": r.random(BATCH, c.text_len, c.cross_attention_dim),
        "text_embedding_mask": torch.ones(BATCH, c.text_len),
        "encoder_hidden_states_t5": r.random(BATCH, c.text_len_t5, c.cross_attention_dim_t5),
        "text_embedding_mask_t5": torch.ones(BATCH, c.text_len_t5),
        "image_meta_size": r.random(BATCH, 6),
        "style": torch.zeros(BATCH, dtype=torch.long),
        "image_rotary_emb": (r.random(16, head), r.random(16, head)),
    }


def _framepack(r: _Rule) -> dict[str, Any]:
    return {
        "image_embeds": r.random(BATCH, 3, WIDTH),
        "indices_latents": torch.arange(FRAMES),
        **{
            name: r.random(BATCH, r.config.in_channels, FRAMES * k, SIDE, SIDE)
            for name, k in (("latents_clean", 1), ("latents_history_2x", 2), ("latents_history_4x", 4))
        },
        **{
            name: torch.arange(FRAMES * k)
            for name, k in (
                ("indices_latents_clean", 1),
                ("indices_latents_history_2x", 2),
                ("indices_latents_history_4x", 4),
            )
        },
    }


def _hunyuan_video15(r: _Rule) -> dict[str, Any]:
    return {
        "encoder_hidden_states_2": r.random(BATCH, TEXT, WIDTH),
        "encoder_attention_mask_2": _mask(r),
        "image_embeds": r.random(BATCH, 3, WIDTH),
    }


def _ideogram(r: _Rule) -> dict[str, Any]:
    length = TEXT + TOKENS
    return {
        "hidden_states": r.random(BATCH, length, r.config.in_channels),
        "encoder_hidden_states": r.random(BATCH, length, WIDTH),
        "position_ids": torch.arange(length).view(1, length, 1).expand(BATCH, length, 3),
        "segment_ids": torch.ones(BATCH, length, dtype=torch.long),
        "indicator": torch.tensor([3] * TEXT + [2] * TOKENS).expand(BATCH, length),
    }


def _joy_plus(r: _Rule) -> dict[str, Any]:
    patch = r.config.patch_size
    return {
        "hidden_states": r.random(BATCH, 8, r.config.in_channels, *patch),
        "shape_list": [[(1, 2, 2), (1, 2, 2)]] * BATCH,
    }


def _kandinsky5(r: _Rule) -> dict[str, Any]:
    sizes = (FRAMES, SIDE // 2, SIDE // 2)
    return {
        "hidden_states": r.random(1, FRAMES, SIDE, SIDE, r.config.in_visual_dim),
        "encoder_hidden_states": r.random(1, TEXT, WIDTH),
        "pooled_projections": r.random(1, WIDTH),
        "timestep": torch.tensor([3.0]),
        "visual_rope_pos": tuple(torch.arange(n) for n in sizes),
        "text_rope_pos": torch.arange(TEXT),
    }


def _kandinsky6(r: _Rule) -> dict[str, Any]:
    channels = 2 * r.config.in_visual_dim + 1 if r.config.visual_cond else r.config.in_visual_dim
    return {
        "hidden_states": r.random(BATCH, FRAMES, SIDE, SIDE, channels),
        "audio_hidden_states": r.random(BATCH, 5, r.config.in_audio_dim),
    }


def _kandinsky6_sr(r: _Rule) -> dict[str, Any]:
    return {"hidden_states": r.random(1, 1, 8, 8, 2 * r.config.in_visual_dim + 1), "timestep": torch.tensor([3.0])}


def _krea2(r: _Rule) -> dict[str, Any]:
    return {
        "hidden_states": r.random(BATCH, TOKENS, r.config.in_channels),
        "encoder_hidden_states": r.random(BATCH, TEXT, r.config.num_text_layers, WIDTH),
        "position_ids": torch.arange(TEXT + TOKENS).view(-1, 1).expand(-1, 3),
    }


def _ltx(r: _Rule) -> dict[str, Any]:
    return {
        "hidden_states": r.random(BATCH, FRAMES * TOKENS, r.config.in_channels),
        "num_frames": FRAMES,
        "height": SIDE,
        "width": SIDE,
    }


def _ltx2(r: _Rule) -> dict[str, Any]:
    return {
        **_ltx(r),
        "audio_hidden_states": r.random(BATCH, 5, r.config.audio_in_channels),
        "audio_num_frames": 5,
        "audio_encoder_hidden_states": r.random(BATCH, TEXT, WIDTH),
        "audio_encoder_attention_mask": _mask(r),
        "timestep": torch.tensor([[3.0], [8.0]]),
    }


def _sana_refiner(r: _Rule) -> dict[str, Any]:
    inner = r.config.num_attention_heads * r.config.attention_head_dim
    return {
        "hidden_states": r.random(BATCH, TOKENS, r.config.in_channels),
        "video_rotary_emb": (r.random(BATCH, TOKENS, inner), r.random(BATCH, TOKENS, inner)),
    }


def _longcat_audio(r: _Rule) -> dict[str, Any]:
    return {"hidden_states": r.random(BATCH, TOKENS, r.config.latent_dim)}


def _lumina_next(r: _Rule) -> dict[str, Any]:
    head = r.config.hidden_size // r.config.num_attention_heads
    turns = torch.polar(torch.ones(SIDE, SIDE, head // 2), r.random(SIDE, SIDE, head // 2))
    return {"encoder_mask": torch.ones(BATCH, TEXT), "cross_attention_kwargs": {}, "image_rotary_emb": turns}


def _minimax_h3(r: _Rule) -> dict[str, Any]:
    text, video, audio = _indices(TEXT, 4, 3)
    pixels = r.config.in_channels * 4
    return {
        "hidden_states": r.random(1, 4, pixels),
        "audio_hidden_states": r.random(1, 3, r.config.audio_in_channels),
        "encoder_hidden_states": r.random(1, TEXT, WIDTH),
        "timestep": torch.tensor([3.0, 0.0]),
        "timestep_indices": torch.tensor([1] * TEXT + [0] * 7),
        "token_tags": torch.tensor([0] * TEXT + [1] * 4 + [2] * 3),
        "position_ids": torch.arange(TEXT + 7).view(-1, 1).expand(-1, 3),
        "text_indices": text,
        "video_indices": video,
        "audio_indices": audio,
    }


def _minimax_music(r: _Rule) -> dict[str, Any]:
    return {
        "hidden_states": r.random(BATCH, r.config.in_channels, TOKENS),
        "encoder_hidden_states": r.random(BATCH, TOKENS, WIDTH),
    }


def _nucleus(r: _Rule) -> dict[str, Any]:
    return {**_packed(r), "img_shapes": [(1, SIDE, SIDE)] * BATCH}


def _omnigen(_: _Rule) -> dict[str, Any]:
    length = TEXT + 1 + TOKENS // 4
    return {
        "input_ids": torch.arange(TEXT).expand(BATCH, TEXT),
        "input_img_latents": [],
        "input_image_sizes": {},
        "attention_mask": torch.ones(BATCH, length, length),
        "position_ids": torch.arange(length).expand(BATCH, length),
    }


def _prior(r: _Rule) -> dict[str, Any]:
    tokens = r.config.num_embeddings
    return {
        "hidden_states": r.random(BATCH, r.config.embedding_dim),
        "proj_embedding": r.random(BATCH, r.config.embedding_dim),
        "encoder_hidden_states": r.random(BATCH, tokens, r.config.embedding_dim),
        "attention_mask": torch.ones(BATCH, tokens, dtype=torch.bool),
    }


def _qwen(r: _Rule) -> dict[str, Any]:
    return {**_packed(r), "img_shapes": [[(1, SIDE, SIDE)]] * BATCH}


def _qwen21(r: _Rule) -> dict[str, Any]:
    target = TOKENS // 4  # a slot holds four tokens of an image
    mask = torch.tensor([False] * TEXT + [True] * target).expand(BATCH, -1)
    return {**_packed(r), "img_shapes": [[(1, SIDE, SIDE)]] * BATCH, "img_mask": mask}


def _protein(r: _Rule) -> dict[str, Any]:
    real = torch.ones(BATCH, TOKENS, dtype=torch.bool)
    return {
        "bb_ca": r.random(BATCH, TOKENS, 3),
        "local_latents": r.random(BATCH, TOKENS, r.config.latent_dim),
        "bb_ca_time": torch.tensor([0.3, 0.8]),
        "local_latents_time": torch.tensor([0.3, 0.8]),
        "padding_mask": real,
        "conditioning": {"is_in_context_conditioning": ~real, "supports_local_latent": real},
    }


def _sana_wm(r: _Rule) -> dict[str, Any]:
    return {
        "timestep": torch.full((BATCH, 1, FRAMES), 3.0),
        "encoder_hidden_states": r.random(BATCH, 1, TEXT, WIDTH),
        "encoder_attention_mask": torch.ones(BATCH, TEXT, dtype=torch.long),
    }


def _stable_audio(r: _Rule) -> dict[str, Any]:
    channels = getattr(r.config, "io_channels", None) or r.config.in_channels
    head = getattr(r.config, "attention_head_dim", 0) // 2
    turns = (r.random(TOKENS + 1, head), r.random(TOKENS + 1, head))
    return {
        "hidden_states": r.random(BATCH, channels, TOKENS),
        "global_hidden_states": r.random(BATCH, WIDTH) if head == 0 else r.random(BATCH, 1, WIDTH),
        "rotary_embedding": turns,
    }


def _t5_film(r: _Rule) -> dict[str, Any]:
    return {
        "encodings_and_masks": [(r.random(BATCH, TEXT, r.config.d_model), torch.ones(BATCH, TEXT))],
        "decoder_input_tokens": r.random(BATCH, r.config.targets_length, r.config.input_dims),
        "decoder_noise_time": torch.tensor([0.3, 0.8]),
    }


def _temporal(r: _Rule) -> dict[str, Any]:
    left_out = dict.fromkeys(("encoder_hidden_states", "timestep", "class_labels"), _LEFT_OUT)
    return left_out | {"hidden_states": r.random(FRAMES, r.config.in_channels, SIDE, SIDE), "num_frames": FRAMES}


def _plain_2d(r: _Rule) -> dict[str, Any]:
    left_out = dict.fromkeys(("timestep", "class_labels", "encoder_attention_mask"), _LEFT_OUT)
    return left_out if r.config.cross_attention_dim else {**left_out, "encoder_hidden_states": _LEFT_OUT}


def _wan_animate(r: _Rule) -> dict[str, Any]:
    size = r.config.motion_encoder_size
    return {
        "hidden_states": r.random(BATCH, r.config.in_channels, FRAMES, SIDE, SIDE),
        "pose_hidden_states": r.random(BATCH, r.config.latent_channels, FRAMES - 1, SIDE, SIDE),
        "face_pixel_values": r.random(BATCH, 3, 4 * (FRAMES - 1), size, size),
        "encoder_hidden_states_image": r.random(BATCH, 3, WIDTH),
    }


def _wan_animate2(r: _Rule) -> dict[str, Any]:
    from diffusers.models.transformers.transformer_wan_animate_2 import WanAnimate2KVCache  # here: only in new ones

    half = r.config.in_dim // 2
    return {
        "hidden_states": [r.random(half, FRAMES, SIDE, SIDE)],
        "timestep": torch.tensor([3.0]),
        "condition_latents": [r.random(r.config.in_dim - half, FRAMES, SIDE, SIDE)],
        "encoder_hidden_states": [r.random(TEXT, WIDTH)],
        "kv_cache": WanAnimate2KVCache(r.config.num_layers),
        "kv_cache_mode": "extract",
        "seq_len": FRAMES * TOKENS // 4,
        "offset_grid_sizes": torch.tensor([[FRAMES, SIDE // 2, SIDE // 2]]),
    }


def _wan_vace(r: _Rule) -> dict[str, Any]:
    return {"control_hidden_states": r.random(BATCH, r.config.vace_in_channels, FRAMES, SIDE, SIDE)}


def _z_image(r: _Rule) -> dict[str, Any]:
    images = [[r.random(r.config.in_channels, 1, SIDE, SIDE) for _ in range(2)] for _ in range(BATCH)]
    texts = [[r.random(TEXT, WIDTH) for _ in range(3)] for _ in range(BATCH)]
    return {
        "x": images,
        "t": torch.tensor([0.3, 0.8]),
        "cap_feats": texts,
        "siglip_feats": [[r.random(2, 2, WIDTH), None] for _ in range(BATCH)],
        "image_noise_mask": [[0, 1]] * BATCH,
    }


# What a class needs beyond the names of its parameters.
EXCEPTIONS: Mapping[str, Callable[[_Rule], Mapping[str, Any]]] = {
    "AceStepTransformer1DModel": lambda r: {
        "hidden_states": r.random(BATCH, TOKENS, WIDTH),
        "context_latents": r.random(BATCH, TOKENS, max(r.config.in_channels - WIDTH, 0)),
    },
    "AnyFlowFARTransformer3DModel": _any_flow,
    "AnyFlowTransformer3DModel": _any_flow,
    "BriaFibo2Transformer2DModel": _bria_fibo2,
    "BriaFiboTransformer2DModel": _bria_fibo,
    "CogVideoXTransformer3DModel": _frames_first,
    "ConsisIDTransformer3DModel": _frames_first,
    "Cosmos3OmniTransformer": _cosmos3,
    "CosmosTransformer3DModel": lambda _: {"padding_mask": torch.zeros(1, 1, SIDE, SIDE), "fps": 16},
    "DreamLiteTransformer2DModel": _plain_2d,
    "ErnieImageTransformer2DModel": lambda r: {
        "text_bth": r.random(BATCH, TEXT, WIDTH),
        "text_lens": torch.tensor([TEXT, TEXT - 1]),
    },
    "Flux3Transformer2DModel": lambda r: {
        "image_cond_hidden_states": r.random(BATCH, TOKENS, r.config.cond_in_channels),
        "image_cond_ids": r.ids(TOKENS) + 1,
    },
    "GlmImageTransformer2DModel": _glm,
    "HiDreamImageTransformer2DModel": _hidream,
    "HunyuanDiT2DModel": _hunyuan_dit,
    "HunyuanVideo15Transformer3DModel": _hunyuan_video15,
    "HunyuanVideoFramepackTransformer3DModel": _framepack,
    "Ideogram4Transformer2DModel": _ideogram,
    "JoyImageEditPlusTransformer3DModel": _joy_plus,
    "Kandinsky5Transformer3DModel": _kandinsky5,
    "Kandinsky6SRTransformer3DModel": _kandinsky6_sr,
    "Kandinsky6Transformer3DModel": _kandinsky6,
    "Krea2Transformer2DModel": _krea2,
    "LTX2VideoTransformer3DModel": _ltx2,
    "LTXVideoTransformer3DModel": _ltx,
    "LatteTransformer3DModel": lambda _: {"encoder_attention_mask": _LEFT_OUT},
    "LongCatAudioDiTTransformer": _longcat_audio,
    "LuminaNextDiT2DModel": _lumina_next,
    "MiniMaxH3Transformer3DModel": _minimax_h3,
    "MiniMaxMusic3RVQDepthDecoder": lambda r: {"inputs_embeds": r.random(BATCH, 4, WIDTH)},
    "MiniMaxMusic3Transformer1DModel": _minimax_music,
    "NucleusMoEImageTransformer2DModel": _nucleus,
    "OmniGenTransformer2DModel": _omnigen,
    "PriorTransformer": _prior,
    "QwenImage21Transformer2DModel": _qwen21,
    "QwenImageTransformer2DModel": _qwen,
    "RFD4ProteinaTransformer": _protein,
    "SanaWMLTX2RefinerTransformer3DModel": _sana_refiner,
    "SanaWMTransformer3DModel": _sana_wm,
    "StableAudio3DiTModel": _stable_audio,
    "StableAudioDiTModel": _stable_audio,
    "T5FilmDecoder": _t5_film,
    "Transformer2DModel": _plain_2d,
    "TransformerTemporalModel": _temporal,
    "WanAnimate2Transformer3DModel": _wan_animate2,
    "WanAnimateTransformer3DModel": _wan_animate,
    "WanVACETransformer3DModel": _wan_vace,
    "ZImageTransformer2DModel": _z_image,
}

"""Small text-to-image pipelines with random weights, of families without an adapter: saved, and loaded by diffusers.

Every one is real: its own classes of diffusers and transformers, a tokenizer of the bundled world's words, and a
``harness.json`` that makes images of a few pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import pre_tokenizers
from torch import nn

from harness.models.checkpoints.pipeline_folder import BUNDLED
from harness.tiny import sd3 as tiny_sd3
from harness.tiny import text, tokens
from tests.helpers.models import perturbed
from tests.helpers.needs import require

SIDE = 32  # pixels
_WIDTH = 16  # of text states
_CHAT = (
    "{% for m in messages %}{% if m['role'] == 'user' %}<|im_start|>"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{{ m['content'][-1]['text'] }}{% endif %}<|im_end|>"
    "{% endif %}{% endfor %}"
)


def _letters(folder: Path) -> transformers.Qwen2Tokenizer:
    """A byte-level tokenizer without merges, whose chat template has the user's text alone.

    From files, which every release of transformers reads: before 5.0 the class takes no vocabulary itself.
    """
    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    written = folder / "letters"
    written.mkdir(exist_ok=True)
    (written / "vocab.json").write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}))
    (written / "merges.txt").write_text("#version: 0.2\n")
    return transformers.Qwen2Tokenizer.from_pretrained(
        written, pad_token="<|endoftext|>", eos_token="<|im_end|>", chat_template=_CHAT
    )


def _words(folder: Path) -> transformers.T5TokenizerFast:
    tokens.write_t5(folder / "words")
    return transformers.T5TokenizerFast.from_pretrained(folder / "words")


def _decoder(vocabulary: int, layers: int = 2) -> dict[str, Any]:
    """The settings that decoders of several families share."""
    return {
        "vocab_size": vocabulary,
        "hidden_size": _WIDTH,
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 4096,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
    }


def _vae(kind: type[Any] = diffusers.AutoencoderKL) -> nn.Module:
    """Halves three times, as the pipelines take for granted."""
    return kind(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        mid_block_add_attention=False,
        **({"shift_factor": 0.1} if kind is diffusers.AutoencoderKL else {}),  # FLUX.2's has no such argument
    )


def _video_vae(kind: type[Any]) -> nn.Module:
    """Qwen-Image's autoencoder has the shape of Wan's, which is for videos."""
    return kind(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )


def _flow() -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler()


def _qwen_vl(tokenizer: transformers.Qwen2Tokenizer) -> nn.Module:
    language = _decoder(len(tokenizer)) | {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": _WIDTH}
    config = transformers.Qwen2_5_VLConfig(text_config=language, vision_config=vision)
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def _qwen_transformer(latents: int, **more: Any) -> nn.Module:
    return diffusers.QwenImageTransformer2DModel(
        in_channels=4 * latents,
        out_channels=latents,
        num_layers=4,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=_WIDTH,
        axes_dims_rope=(2, 2, 4),
        **more,
    )


def qwen_image(folder: Path) -> Any:
    """Qwen-Image: true guidance in forwards of its own, a mask that is None where nothing is padded."""
    tokenizer = _letters(folder)
    return diffusers.QwenImagePipeline(
        transformer=_qwen_transformer(4),
        scheduler=_flow(),
        vae=_video_vae(diffusers.AutoencoderKLQwenImage),
        text_encoder=_qwen_vl(tokenizer),
        tokenizer=tokenizer,
    )


def qwen_image_layered(folder: Path) -> Any:
    """Qwen-Image-Layered: RGBA layers of an image.

    It makes 640 x 640 pixels or more, so the autoencoder halves six times, to 5 x 5 tokens a layer. Its latents have
    another number of channels than RGBA: with as many, the pipeline takes the image for latents.
    """
    tokenizer = _letters(folder)
    return diffusers.QwenImageLayeredPipeline(
        transformer=_qwen_transformer(8, use_additional_t_cond=True, use_layer3d_rope=True),
        scheduler=_flow(),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=2,
            z_dim=8,
            dim_mult=[1] * 7,
            num_res_blocks=0,
            temperal_downsample=[False] * 6,
            input_channels=4,
            latents_mean=[0.0] * 8,
            latents_std=[1000.0] * 8,  # with less, its random weights give nearly one layer whatever the latents are
        ),
        text_encoder=_qwen_vl(tokenizer),
        tokenizer=tokenizer,
        processor=transformers.Qwen2VLProcessor(
            image_processor=transformers.Qwen2VLImageProcessor(),
            tokenizer=tokenizer,
            video_processor=transformers.Qwen2VLVideoProcessor(),
            chat_template=_CHAT,
        ),
    )


def pixart_sigma(folder: Path) -> Any:
    """PixArt-Sigma: both passes in one forward, a noise scheduler, the older callback."""
    return diffusers.PixArtSigmaPipeline(
        transformer=diffusers.PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            cross_attention_dim=16,
            num_layers=4,
            sample_size=SIDE // 8,
            caption_channels=64,
            interpolation_scale=1,
            use_additional_conditions=False,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(),
        vae=_vae(),
        text_encoder=text.build_t5(),
        tokenizer=_words(folder),
    )


def chroma(folder: Path) -> Any:
    """Chroma: T5 with a mask that keeps one pad, modulation of all blocks from one network."""
    return diffusers.ChromaPipeline(
        transformer=diffusers.ChromaTransformer2DModel(
            in_channels=16,
            num_layers=2,
            num_single_layers=3,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=64,
            axes_dims_rope=(2, 2, 4),
            approximator_num_channels=8,
            approximator_hidden_dim=16,
            approximator_layers=1,
        ),
        scheduler=_flow(),
        vae=_vae(),
        text_encoder=text.build_t5(),
        tokenizer=_words(folder),
    )


def _gemma() -> nn.Module:
    return transformers.Gemma2Model(transformers.Gemma2Config(**_decoder(len(tokens.T5_PIECES))))


def lumina2(folder: Path) -> Any:
    """Lumina-Image 2: refiners of text and of image before the main stack."""
    return diffusers.Lumina2Pipeline(
        transformer=diffusers.Lumina2Transformer2DModel(
            sample_size=SIDE // 8,
            in_channels=4,
            hidden_size=24,
            num_layers=4,
            num_refiner_layers=2,
            num_attention_heads=2,
            num_kv_heads=2,
            multiple_of=8,
            axes_dim_rope=(4, 4, 4),
            axes_lens=(512, 64, 64),
            cap_feat_dim=_WIDTH,
        ),
        scheduler=_flow(),
        vae=_vae(),
        text_encoder=_gemma(),
        tokenizer=_words(folder),
    )


def sana(folder: Path) -> Any:
    """Sana: an autoencoder whose latents are taken one by one, and a long instruction before every prompt."""
    return diffusers.SanaPipeline(
        transformer=diffusers.SanaTransformer2DModel(
            in_channels=4,
            out_channels=4,
            num_attention_heads=2,
            attention_head_dim=8,
            num_layers=4,
            num_cross_attention_heads=2,
            cross_attention_head_dim=8,
            cross_attention_dim=16,
            caption_channels=_WIDTH,
            sample_size=8,
        ),
        scheduler=_flow(),
        vae=diffusers.AutoencoderDC(
            latent_channels=4,
            attention_head_dim=2,
            encoder_block_types=("ResBlock",) * 3,
            decoder_block_types=("ResBlock",) * 3,
            encoder_block_out_channels=(8, 8, 8),
            decoder_block_out_channels=(8, 8, 8),
            encoder_qkv_multiscales=((), (), ()),
            decoder_qkv_multiscales=((), (), ()),
            encoder_layers_per_block=(1, 1, 1),
            decoder_layers_per_block=(1, 1, 1),
            downsample_block_type="conv",
            upsample_block_type="interpolate",
            decoder_norm_types="rms_norm",
            decoder_act_fns="silu",
        ),
        text_encoder=_gemma(),
        tokenizer=_words(folder),
    )


def _qwen3(vocabulary: int, layers: int = 2) -> nn.Module:
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_decoder(vocabulary, layers)))


def z_image(folder: Path) -> Any:
    """Z-Image: lists of latents and of prompts, latents in fp32 whatever the dtype, guidance from 0 on."""
    tokenizer = _letters(folder)
    return diffusers.ZImagePipeline(
        transformer=diffusers.ZImageTransformer2DModel(
            in_channels=4,
            dim=16,
            n_layers=4,
            n_refiner_layers=2,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=_WIDTH,
            axes_dims=[2, 2, 4],
            axes_lens=[256, 32, 32],
        ),
        scheduler=_flow(),
        vae=_vae(),
        text_encoder=transformers.Qwen3Model(transformers.Qwen3Config(**_decoder(len(tokenizer)))),
        tokenizer=tokenizer,
    )


def _flux2(joint: int, *, guided: bool) -> nn.Module:
    return diffusers.Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=joint,
        timestep_guidance_channels=8,
        axes_dims_rope=(2, 2, 2, 2),
        guidance_embeds=guided,
    )


def flux2(folder: Path) -> Any:
    """FLUX.2-dev: three layers of a Mistral side by side, guidance told to the model."""
    tokenizer = _letters(folder)
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Mistral3Config(
        text_config={"model_type": "mistral", **_decoder(len(tokenizer), layers=30)},
        vision_config={"model_type": "pixtral", "image_size": 32, "patch_size": 16, "head_dim": 8, **vision},
        image_token_index=0,
    )
    return diffusers.Flux2Pipeline(
        transformer=_flux2(3 * _WIDTH, guided=True),
        scheduler=_flow(),
        vae=_vae(diffusers.AutoencoderKLFlux2),
        text_encoder=transformers.Mistral3ForConditionalGeneration(config),
        tokenizer=tokenizer,
    )


def flux2_klein(folder: Path) -> Any:
    """FLUX.2-klein: a Qwen3, and guidance in forwards of its own where the model isn't distilled."""
    tokenizer = _letters(folder)
    return diffusers.Flux2KleinPipeline(
        transformer=_flux2(3 * _WIDTH, guided=False),
        scheduler=_flow(),
        vae=_vae(diffusers.AutoencoderKLFlux2),
        text_encoder=_qwen3(len(tokenizer), layers=28),
        tokenizer=tokenizer,
    )


def sd35_medium(folder: Path) -> Any:
    """SD3.5-medium: the first blocks attend to the image a second time. It has an adapter, and keeps it."""
    from harness.tiny import vae  # the bundled autoencoder's shape, which sd3-tiny's transformer has

    pipeline = tiny_sd3.build_pipeline(folder / "tokenizers", vae.build())
    config = {**pipeline.transformer.config, "num_layers": 4, "dual_attention_layers": (0, 1)}
    pipeline.register_modules(transformer=diffusers.SD3Transformer2DModel.from_config(config))
    return pipeline


def wan22(folder: Path) -> Any:
    """Wan 2.2: two transformers, each for a part of the steps. It makes videos, so no cases run on it."""
    config = transformers.UMT5Config(
        vocab_size=len(tokens.T5_PIECES), d_model=_WIDTH, d_kv=8, d_ff=_WIDTH, num_layers=1, num_heads=2
    )

    def transformer() -> nn.Module:
        return diffusers.WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=_WIDTH,
            freq_dim=8,
            ffn_dim=16,
            num_layers=4,
            rope_max_seq_len=32,
        )

    return diffusers.WanPipeline(
        tokenizer=_words(folder),
        text_encoder=transformers.UMT5EncoderModel(config).eval(),
        vae=_video_vae(diffusers.AutoencoderKLWan),
        scheduler=_flow(),
        transformer=transformer(),
        transformer_2=transformer(),
        boundary_ratio=0.875,
    )


BUILDERS: dict[str, Callable[[Path], Any]] = {
    "qwen-image": qwen_image,
    "flux2": flux2,
    "flux2-klein": flux2_klein,
    "z-image": z_image,
    "pixart-sigma": pixart_sigma,
    "sana": sana,
    "lumina2": lumina2,
    "chroma": chroma,
    "sd3.5-medium": sd35_medium,
}
# What a release of diffusers may lack, and with it the pipeline.
CLASSES = {
    "qwen-image": "QwenImagePipeline",
    "flux2": "Flux2Pipeline",
    "flux2-klein": "Flux2KleinPipeline",
    "z-image": "ZImagePipeline",
    "chroma": "ChromaPipeline",
}
LENGTHS = {"pixart-sigma": 20, "sana": 20, "chroma": 20, "lumina2": 256, "sd3.5-medium": 20, "qwen-image": 512}
SIDES = {"sd3.5-medium": 40}


def save(name: str, folder: Path) -> Path:
    """One of BUILDERS with random weights as ``save_pretrained`` writes it, in ``folder/name``.

    Skips the test where the installed diffusers has no such pipeline.
    """
    if name in CLASSES:
        require(f"diffusers.{CLASSES[name]}")
    target = _saved(BUILDERS[name], folder, name)
    side = SIDES.get(name, SIDE)
    settings = {
        "steps": 2,
        "guidance": 2.0,
        "negative_prompt": "a grey background",
        "height": side,
        "width": side,
        "max_sequence_length": LENGTHS.get(name, 128),
        "dtype": "float32",
        "seeds": 2,
        "batch": 3,
        "prompts": str(BUNDLED / "prompts.txt"),
        "judge": str(BUNDLED / "judge"),
    }
    (target / "harness.json").write_text(json.dumps(settings))
    return target


def save_layered(folder: Path) -> Path:
    """Qwen-Image-Layered with random weights as ``save_pretrained`` writes it, in ``folder/qwen-image-layered``.

    It makes two layers in a step; its weights are such that a skipped block can be seen in the bytes of every layer.
    """
    target = _saved(qwen_image_layered, folder, "qwen-image-layered", _enlarge)
    settings = {
        "layers": 2,
        "steps": 1,
        "guidance": 1.0,
        "dtype": "float32",
        "seeds": 2,
        "judge": str(BUNDLED / "judge"),
    }
    (target / "harness.json").write_text(json.dumps(settings))
    return target


def _enlarge(pipeline: Any) -> None:
    with torch.no_grad():
        pipeline.transformer.proj_out.weight.mul_(10)
        pipeline.vae.decoder.conv_out.weight.mul_(3)


def _saved(
    build: Callable[[Path], Any], folder: Path, name: str, change: Callable[[Any], None] = lambda _pipeline: None
) -> Path:
    torch.manual_seed(0)
    pipeline = build(folder)
    perturbed(pipeline.transformer)
    change(pipeline)
    target = folder / name
    pipeline.save_pretrained(target)
    return target

"""flux-tiny: a small trained FLUX in diffusers' own classes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer, T5TokenizerFast

from harness.tiny import checker, render, text, tokens, vae, world
from harness.tiny.fit import Recipe, fit

DOUBLE_BLOCKS = 5
SINGLE_BLOCKS = 10
SHIFT = 1.5  # the scheduler's static shift; not 1, so that a change in shift handling can show
STEPS = 4
GUIDANCE = 0.0  # schnell-like: no guidance embedding, no classifier-free guidance
SIDE_TOKENS = vae.LATENT_SIDE // 2
RECIPE = Recipe(steps=3000, batch=128, rate=2e-3, seed=31)
LATENT_POOL = 98_304  # layouts encoded once, before training


def build_transformer() -> FluxTransformer2DModel:
    """An untrained transformer: 25 image + 20 text tokens of width 96.

    diffusers leaves the modulation at its random initialisation; zero gates make every block the
    identity at the start, as in the DiT paper (Peebles and Xie, 2023, "adaLN-Zero").
    """
    model = FluxTransformer2DModel(
        patch_size=1,
        in_channels=4 * vae.LATENT_CHANNELS,
        num_layers=DOUBLE_BLOCKS,
        num_single_layers=SINGLE_BLOCKS,
        attention_head_dim=32,
        num_attention_heads=3,
        joint_attention_dim=64,
        pooled_projection_dim=64,
        guidance_embeds=False,
        axes_dims_rope=(8, 12, 12),
    )
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            if "norm" in name or name == "proj_out":
                nn.init.zeros_(module.weight)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def build_pipeline(tokenizers: Path, autoencoder: AutoencoderKL) -> FluxPipeline:
    """An untrained pipeline around a trained autoencoder; writes the tokenizer files first."""
    tokens.write_clip(tokenizers / "tokenizer")
    tokens.write_t5(tokenizers / "tokenizer_2")
    size, end = tokens.clip_vocabulary(tokenizers / "tokenizer")
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=autoencoder,
        text_encoder=text.build_clip(size, end),
        tokenizer=CLIPTokenizer.from_pretrained(tokenizers / "tokenizer"),
        text_encoder_2=text.build_t5(),
        tokenizer_2=T5TokenizerFast.from_pretrained(tokenizers / "tokenizer_2"),
        transformer=build_transformer(),
    )


def generate(
    pipeline: FluxPipeline, prompts: list[str], seed: int, steps: int = STEPS, batch: int = 128
) -> npt.NDArray[np.uint8]:
    """uint8 NCHW images of the prompts, through the pipeline's own ``__call__``."""
    pipeline.set_progress_bar_config(disable=True)
    parts: list[npt.NDArray[np.uint8]] = []
    for start in range(0, len(prompts), batch):
        images = pipeline(
            prompts[start : start + batch],
            height=render.SIDE,
            width=render.SIDE,
            num_inference_steps=steps,
            guidance_scale=GUIDANCE,
            max_sequence_length=tokens.T5_LENGTH,
            generator=torch.Generator("cpu").manual_seed(seed * 1_000_003 + start),
            output_type="np",
        ).images
        parts.append(np.round(images * 255).astype(np.uint8).transpose(0, 3, 1, 2))
    return np.concatenate(parts)


def encode_pool(autoencoder: AutoencoderKL, seed: int, size: int, cache: Path) -> tuple[Tensor, world.Layouts]:
    """(size, 8, 10, 10) normalised bf16 latents of training layouts, kept in ``cache``; and the layouts."""
    layouts = world.sample_split(size, np.random.default_rng((seed, 7)), unseen=False)
    if cache.exists():
        return load_file(cache)["latents"], layouts
    shift, scale = autoencoder.config["shift_factor"], autoencoder.config["scaling_factor"]
    parts: list[Tensor] = []
    with torch.inference_mode():
        for start in range(0, size, 512):
            images = render.render(layouts[start : start + 512])
            pixels = vae.to_tensor(images, autoencoder.device).contiguous(memory_format=torch.channels_last)
            with torch.autocast(autoencoder.device.type, torch.bfloat16):
                latent = autoencoder.encode(pixels).latent_dist.mode()
            parts.append(((latent.float() - shift) * scale).to("cpu", torch.bfloat16).contiguous())
    latents = torch.cat(parts)
    save_file({"latents": latents}, cache)
    return latents, layouts


def pack(latents: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H/2 * W/2, 4C), as FluxPipeline packs."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def draw_times(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    """Half uniform, half sigmoid(N(.3, 1)): the noisy middle, where a rectified flow is hardest."""
    normal = 1 / (1 + np.exp(-rng.normal(0.3, 1.0, n)))
    return np.where(rng.random(n) < 0.5, rng.random(n), normal).astype(np.float32)


def train(folder: Path, autoencoder: AutoencoderKL, device: torch.device, recipe: Recipe = RECIPE) -> FluxPipeline:
    """Pretrain the text encoders, then train them jointly with the transformer."""
    torch.manual_seed(recipe.seed)
    pipeline = build_pipeline(folder / "flux-tokenizers", autoencoder).to(device)
    text.train(folder, pipeline.text_encoder, pipeline.tokenizer, pipeline.text_encoder_2, pipeline.tokenizer_2, device)
    latents, layouts = encode_pool(autoencoder, recipe.seed, LATENT_POOL, folder / "latents.safetensors")
    both = [world.captions(layouts, np.full(len(layouts), flip)) for flip in (False, True)]
    clip_ids, t5_ids = (
        torch.stack([torch.tensor(tok(texts, padding="max_length")["input_ids"]) for texts in both])
        for tok in (pipeline.tokenizer, pipeline.tokenizer_2)
    )
    module = nn.ModuleDict(
        {"transformer": pipeline.transformer, "clip": pipeline.text_encoder, "t5": pipeline.text_encoder_2}
    )
    # Images during training come from a second set of modules, so that the compiled ones are left alone.
    shadow = build_pipeline(folder / "flux-tokenizers", autoencoder).to(device)
    probe = world.sample_split(64, np.random.default_rng(recipe.seed), unseen=True)
    image_ids = FluxPipeline._prepare_latent_image_ids(1, SIDE_TOKENS, SIDE_TOKENS, device, torch.float32)
    text_ids = torch.zeros(tokens.T5_LENGTH, 3, device=device)
    if shutil.which("c++") or device.type == "cuda":
        pipeline.transformer.compile_repeated_blocks()

    def loss(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        index = torch.from_numpy(rng.integers(len(latents), size=recipe.batch))
        phrasing = torch.from_numpy(rng.integers(2, size=recipe.batch))
        clean = pack(latents[index].float()).to(device)
        noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32)).to(device)
        time = torch.from_numpy(draw_times(rng, recipe.batch)).to(device)
        mix = time[:, None, None]
        # Explicit softmax attention: the CPU's fused bf16 backward takes 40 % of a step.
        with torch.autocast(device.type, torch.bfloat16), sdpa_kernel(_attention(device)):
            pooled = module["clip"](clip_ids[phrasing, index].to(device)).pooler_output
            states = module["t5"](t5_ids[phrasing, index].to(device)).last_hidden_state
            velocity = module["transformer"](
                hidden_states=(1 - mix) * clean + mix * noise,
                timestep=time,
                encoder_hidden_states=states,
                pooled_projections=pooled,
                txt_ids=text_ids,
                img_ids=image_ids,
                return_dict=False,
            )[0]
        return (velocity.float() - (noise - clean)).square().mean(), {}

    def evaluate() -> Mapping[str, float]:
        shadow.transformer.load_state_dict(pipeline.transformer.state_dict())
        shadow.text_encoder.load_state_dict(pipeline.text_encoder.state_dict())
        shadow.text_encoder_2.load_state_dict(pipeline.text_encoder_2.state_dict())
        score = checker.score(generate(shadow, world.captions(probe), seed=recipe.seed), probe)
        return {"all_right": float(score.all_right.mean())} | {k: float(v.mean()) for k, v in score.attributes.items()}

    fit("flux", module, loss, recipe, folder, evaluate)
    evaluate()
    return shadow


def _attention(device: torch.device) -> list[SDPBackend]:
    if device.type == "cuda":
        return [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # applies to the CPU's math kernel too
    return [SDPBackend.MATH]

"""Real checkpoints: where the hub keeps them, how their model cards run them, and what they are made of.

``config`` holds the constructor arguments of the transformer as the hub's ``transformer/config.json`` has them, so
that the architecture can be built without a download; what it leaves out is diffusers' default. Steps, guidance, length
and dtype are those of the example on the model card, or where it has none on the page of diffusers' documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from harness.models.checkpoints.class_source import ListSource
from harness.models.checkpoints.general_family import declared_family
from harness.models.spec import AURAFLOW, FLUX, LAYERED_ADAPTER, SD3, Family, Settings


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A real checkpoint. ``name`` is its name in ids; ``gigabytes`` is its download's size, where known.

    ``base`` is the name of the checkpoint that it was pruned from by its publisher; empty where it wasn't.
    """

    name: str
    hub_id: str
    family: Family
    settings: Settings
    config: Mapping[str, Any]
    gigabytes: float | None
    base: str = ""

    @property
    def stacks(self) -> dict[str, int]:
        """Stack name -> number of blocks."""
        return {stack.name: int(self.config[stack.length_key]) for stack in self.family.stacks}

    @property
    def lacks(self) -> str:
        """The blocks that its publisher took from its base: ``11 of 19 double of flux.1-dev``; empty without a base."""
        return lacking_blocks(self.base, self.stacks)


def lacking_blocks(base: str, stacks: Mapping[str, int]) -> str:
    """How many blocks of a published checkpoint's stacks aren't in ``stacks``; empty where none is missing.

    Which of them are gone can't be seen: what is left is numbered from 0 again.
    """
    known = PUBLISHED.get(base)
    whole = {} if known is None else known.stacks
    gone = [f"{n - stacks[name]} of {n} {name}" for name, n in whole.items() if stacks.get(name, n) < n]
    return f"{', '.join(gone)} of {base}" if gone else ""


def _config(**arguments: Any) -> Mapping[str, Any]:
    return MappingProxyType(arguments)


def _flux(*, guidance_embeds: bool, doubles: int = 19) -> Mapping[str, Any]:
    return _config(
        patch_size=1,
        in_channels=64,
        num_layers=doubles,
        num_single_layers=38,
        attention_head_dim=128,
        num_attention_heads=24,
        joint_attention_dim=4096,
        pooled_projection_dim=768,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(16, 56, 56),
    )


def _sd3(blocks: int, positions: int, *, dual: int = 0, norm: str | None = "rms_norm") -> Mapping[str, Any]:
    """SD3 is as many heads wide as it has blocks; its first ``dual`` blocks attend to the image once more."""
    return _config(
        sample_size=128,
        patch_size=2,
        in_channels=16,
        num_layers=blocks,
        attention_head_dim=64,
        num_attention_heads=blocks,
        joint_attention_dim=4096,
        caption_projection_dim=64 * blocks,
        pooled_projection_dim=2048,
        out_channels=16,
        pos_embed_max_size=positions,
        dual_attention_layers=tuple(range(dual)),
        qk_norm=norm,
    )


_BLOCKS, _SINGLE = "transformer_blocks", "single_transformer_blocks"
_QWEN_LISTS = (ListSource(_BLOCKS, "num_layers", "QwenImageTransformerBlock"),)
_QWEN_IMAGE = declared_family(
    "QwenImagePipeline",
    "QwenImageTransformer2DModel",
    _QWEN_LISTS,
    settings=Settings(steps=50, guidance=4.0, max_sequence_length=512, dtype="bfloat16"),
)
_QWEN_LAYERED = declared_family(
    "QwenImageLayeredPipeline",
    "QwenImageTransformer2DModel",
    _QWEN_LISTS,
    settings=replace(_QWEN_IMAGE.settings, negative_prompt=" ", height=640, width=640),
    adapter=LAYERED_ADAPTER,
)
_FLUX2_LISTS = (
    ListSource(_BLOCKS, "num_layers", "Flux2TransformerBlock"),
    ListSource(_SINGLE, "num_single_layers", "Flux2SingleTransformerBlock"),
)
_FLUX2_SETTINGS = Settings(steps=50, guidance=4.0, max_sequence_length=512, dtype="bfloat16")
_FLUX2 = declared_family("Flux2Pipeline", "Flux2Transformer2DModel", _FLUX2_LISTS, settings=_FLUX2_SETTINGS)
_FLUX2_KLEIN = declared_family("Flux2KleinPipeline", "Flux2Transformer2DModel", _FLUX2_LISTS, settings=_FLUX2_SETTINGS)
_Z_IMAGE = declared_family(
    "ZImagePipeline",
    "ZImageTransformer2DModel",
    (
        ListSource("noise_refiner", "n_refiner_layers", "ZImageTransformerBlock"),
        ListSource("context_refiner", "n_refiner_layers", "ZImageTransformerBlock"),
        ListSource("layers", "n_layers", "ZImageTransformerBlock"),
    ),
    settings=Settings(steps=50, guidance=5.0, max_sequence_length=512, dtype="bfloat16"),
)
_PIXART_SIGMA = declared_family(
    "PixArtSigmaPipeline",
    "PixArtTransformer2DModel",
    (ListSource(_BLOCKS, "num_layers", "BasicTransformerBlock"),),
    settings=Settings(steps=20, guidance=4.5, max_sequence_length=300, dtype="bfloat16"),
    guidance_batched=True,
)
_SANA = declared_family(
    "SanaPipeline",
    "SanaTransformer2DModel",
    (ListSource(_BLOCKS, "num_layers", "SanaTransformerBlock"),),
    settings=Settings(steps=20, guidance=4.5, max_sequence_length=300, dtype="bfloat16"),
    guidance_batched=True,
    token_latents=1,
)
_LUMINA2 = declared_family(
    "Lumina2Pipeline",
    "Lumina2Transformer2DModel",
    (
        ListSource("context_refiner", "num_refiner_layers", "Lumina2TransformerBlock"),
        ListSource("noise_refiner", "num_refiner_layers", "Lumina2TransformerBlock"),
        ListSource("layers", "num_layers", "Lumina2TransformerBlock"),
    ),
    settings=Settings(steps=30, guidance=4.0, max_sequence_length=256, dtype="bfloat16"),
)
_CHROMA = declared_family(
    "ChromaPipeline",
    "ChromaTransformer2DModel",
    (
        ListSource(_BLOCKS, "num_layers", "ChromaTransformerBlock"),
        ListSource(_SINGLE, "num_single_layers", "ChromaSingleTransformerBlock"),
    ),
    settings=Settings(steps=35, guidance=5.0, max_sequence_length=512, dtype="bfloat16"),
)
_SPOILED = (  # the negative prompt of diffusers' page about Chroma
    "low quality, ugly, unfinished, out of focus, deformed, disfigure, blurry, smudged, restricted palette, flat colors"
)


def _qwen(**arguments: Any) -> Mapping[str, Any]:
    return _config(num_layers=60, num_attention_heads=24, attention_head_dim=128, joint_attention_dim=3584, **arguments)


def _flux2(doubles: int, singles: int, heads: int, text: int, *, guidance_embeds: bool) -> Mapping[str, Any]:
    return _config(
        num_layers=doubles,
        num_single_layers=singles,
        num_attention_heads=heads,
        attention_head_dim=128,
        in_channels=128,
        joint_attention_dim=text,
        guidance_embeds=guidance_embeds,
    )


PUBLISHED: dict[str, PublishedCheckpoint] = {
    known.name: known
    for known in (
        PublishedCheckpoint(
            "flux.1-schnell",
            "black-forest-labs/FLUX.1-schnell",
            FLUX,
            Settings(steps=4, guidance=0.0, max_sequence_length=256, dtype="bfloat16"),
            _flux(guidance_embeds=False),
            33.7,
        ),
        PublishedCheckpoint(
            "flux.1-dev",
            "black-forest-labs/FLUX.1-dev",
            FLUX,
            Settings(steps=50, guidance=3.5, max_sequence_length=512, dtype="bfloat16"),
            _flux(guidance_embeds=True),
            33.7,
        ),
        PublishedCheckpoint(
            "sd3-medium",
            "stabilityai/stable-diffusion-3-medium-diffusers",
            SD3,
            Settings(steps=28, guidance=7.0, max_sequence_length=256, dtype="float16"),
            _sd3(24, 192, norm=None),
            15.5,
        ),
        PublishedCheckpoint(
            "sd3.5-medium",
            "stabilityai/stable-diffusion-3.5-medium",
            SD3,
            Settings(steps=40, guidance=4.5, max_sequence_length=256, dtype="bfloat16"),
            _sd3(24, 384, dual=13),
            16.3,
        ),
        PublishedCheckpoint(
            "sd3.5-large",
            "stabilityai/stable-diffusion-3.5-large",
            SD3,
            Settings(steps=28, guidance=3.5, max_sequence_length=256, dtype="bfloat16"),
            _sd3(38, 192),
            27.6,
        ),
        PublishedCheckpoint(
            "auraflow-v0.2",
            "fal/AuraFlow-v0.2",
            AURAFLOW,
            Settings(steps=50, guidance=3.5, max_sequence_length=256, dtype="float16"),
            _config(
                sample_size=64,
                patch_size=2,
                in_channels=4,
                num_mmdit_layers=4,
                num_single_dit_layers=32,
                attention_head_dim=256,
                num_attention_heads=12,
                joint_attention_dim=2048,
                caption_projection_dim=3072,
                out_channels=4,
                pos_embed_max_size=4096,  # learned, and no more than 1024 px: the default of diffusers is smaller
            ),
            None,
        ),
        PublishedCheckpoint(
            "flux.1-lite-8b",
            "Freepik/flux.1-lite-8B",
            FLUX,
            Settings(steps=28, guidance=3.5, max_sequence_length=512, dtype="bfloat16"),
            _flux(guidance_embeds=True, doubles=8),
            None,
            base="flux.1-dev",
        ),
        PublishedCheckpoint(
            "flex.1-alpha",
            "ostris/Flex.1-alpha",
            FLUX,
            Settings(steps=28, guidance=3.5, max_sequence_length=512, dtype="bfloat16"),
            _flux(guidance_embeds=True, doubles=8),
            None,
            base="flux.1-schnell",
        ),
        PublishedCheckpoint(
            "qwen-image",
            "Qwen/Qwen-Image",
            _QWEN_IMAGE,
            replace(_QWEN_IMAGE.settings, negative_prompt=" ", height=1328, width=1328),
            _qwen(),
            57.7,
        ),
        PublishedCheckpoint(
            "qwen-image-layered",
            "Qwen/Qwen-Image-Layered",
            _QWEN_LAYERED,
            _QWEN_LAYERED.settings,
            _qwen(use_additional_t_cond=True, use_layer3d_rope=True),  # its pipeline passes what needs both
            None,
        ),
        PublishedCheckpoint(
            "flux.2-dev",
            "black-forest-labs/FLUX.2-dev",
            _FLUX2,
            _FLUX2.settings,
            _flux2(8, 48, 48, 15360, guidance_embeds=True),
            None,
        ),
        PublishedCheckpoint(
            "flux.2-klein-4b",
            "black-forest-labs/FLUX.2-klein-4B",
            _FLUX2_KLEIN,
            replace(_FLUX2_KLEIN.settings, steps=4, guidance=1.0),
            _flux2(5, 20, 24, 7680, guidance_embeds=False),
            None,
        ),
        PublishedCheckpoint(
            "flux.2-klein-9b",
            "black-forest-labs/FLUX.2-klein-9B",
            _FLUX2_KLEIN,
            replace(_FLUX2_KLEIN.settings, steps=4, guidance=1.0),
            _flux2(8, 24, 32, 12288, guidance_embeds=False),
            None,
        ),
        PublishedCheckpoint(
            "z-image-turbo",
            "Tongyi-MAI/Z-Image-Turbo",
            _Z_IMAGE,
            replace(_Z_IMAGE.settings, steps=9, guidance=0.0),
            _config(n_layers=30, n_refiner_layers=2, dim=3840, n_heads=30, n_kv_heads=30, axes_lens=[1536, 512, 512]),
            32.9,
        ),
        PublishedCheckpoint(
            "pixart-sigma-1024",
            "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
            _PIXART_SIGMA,
            replace(_PIXART_SIGMA.settings, dtype="float16"),
            _config(num_layers=28, caption_channels=4096, interpolation_scale=2, use_additional_conditions=False),
            None,
        ),
        PublishedCheckpoint(
            "sana-1600m-1024",
            "Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers",
            _SANA,
            _SANA.settings,
            _config(num_layers=20, num_attention_heads=70, attention_head_dim=32),
            None,
        ),
        PublishedCheckpoint(
            "lumina-image-2.0",
            "Alpha-VLLM/Lumina-Image-2.0",
            _LUMINA2,
            _LUMINA2.settings,
            _config(num_layers=26, num_refiner_layers=2, cap_feat_dim=2304),
            None,
        ),
        PublishedCheckpoint(
            "chroma1-hd",
            "lodestones/Chroma1-HD",
            _CHROMA,
            replace(_CHROMA.settings, steps=40, guidance=3.0, negative_prompt=_SPOILED),
            _config(num_layers=19, num_single_layers=38),
            None,
        ),
    )
}


def find(name: str) -> PublishedCheckpoint | None:
    """The real checkpoint of that name or hub id, whatever its case."""
    lower = name.lower()
    return next((known for known in PUBLISHED.values() if lower in (known.name, known.hub_id.lower())), None)


def like(origin: str, folder: str) -> PublishedCheckpoint | None:
    """The real checkpoint that a folder holds, by the hub id that it was saved from, or by its own name."""
    lower = folder.lower()
    named = (known for known in PUBLISHED.values() if known.hub_id.lower().endswith(f"/{lower}"))
    return find(origin) or find(folder) or next(named, None)

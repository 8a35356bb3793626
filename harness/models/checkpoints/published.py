"""Real checkpoints: where the hub keeps them, how their model cards run them, and what they are made of.

``config`` holds the constructor arguments of the transformer as the hub's ``transformer/config.json`` has them, so
that the architecture can be built without a download. Steps, guidance, length and dtype are those of the example
on the model card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.models.spec import AURAFLOW, FLUX, SD3, Family, Settings


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A real checkpoint. ``name`` is its name in ids; ``gigabytes`` is its download's size, where known."""

    name: str
    hub_id: str
    family: Family
    settings: Settings
    config: Mapping[str, Any]
    gigabytes: float | None

    @property
    def stacks(self) -> dict[str, int]:
        """Stack name -> number of blocks."""
        return {stack.name: int(self.config[stack.length_key]) for stack in self.family.stacks}


def _config(**arguments: Any) -> Mapping[str, Any]:
    return MappingProxyType(arguments)


def _flux(*, guidance_embeds: bool) -> Mapping[str, Any]:
    return _config(
        patch_size=1,
        in_channels=64,
        num_layers=19,
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

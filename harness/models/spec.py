"""The families of transformers that can be ablated, as plain data, and how a checkpoint is sampled.

A family is one entry in this file and one file in ``harness/models/families``, which the entry names. Nothing here
imports torch: the table is read at collection.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from harness.ablation.block_parts import STREAMS, SUBLAYERS, BlockPart, StackParts
from harness.results.serialise import Rule

DTYPES = ("float32", "bfloat16", "float16")
SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
OFFLOADS = ("none", "model", "group")
GENERAL_ADAPTER = "harness.models.families.general:General"  # of every pipeline without an entry in the table
LAYERED_ADAPTER = "harness.models.families.layered:Layered"  # of one among them that takes pictures apart


def full_dtype(name: str) -> str:
    """``bfloat16`` for ``bf16``; every other text as it is."""
    return SHORT_DTYPES.get(name, name)


@dataclass(frozen=True)
class Sublayers:
    """A block's attention and feed-forward, by the names of its submodules; what is left out isn't called, it gives 0.

    A name that a block lacks (SD3's last block has no ``ff_context``) counts for nothing. ``feed_forward_bias`` is a
    projection that both sublayers end in: the columns of its weight are theirs, and its bias is the feed-forward's.
    ``attention_feeds``: attention reaches the block's output through the feed-forward alone, so that without the
    feed-forward nothing is left of the block.
    """

    attention: tuple[str, ...]
    feed_forward: tuple[str, ...]
    feed_forward_bias: str = ""
    attention_feeds: bool = False


@dataclass(frozen=True)
class Stack:
    """One ModuleList of a transformer's blocks.

    ``name`` is the harness's name for it, ``attribute`` the model's, ``length_key`` the config key that holds its
    length, and ``block`` the class of its blocks in diffusers. ``lokr_at_factor`` are the layers of a block that get
    the block's own LoKr factor f, as fnmatch patterns behind the block's name; its other layers get 2f. ``sublayers``
    are a block's, None where they can't be told apart; ``streams`` says that its blocks return text and image apart
    (None: it isn't known), and ``text_ends`` that nothing reads the text of the last one.
    """

    name: str
    attribute: str
    length_key: str
    block: str
    lokr_at_factor: tuple[str, ...]
    sublayers: Sublayers | None = None
    streams: bool | None = False
    text_ends: bool = False

    @property
    def parts(self) -> StackParts:
        """The parts of its blocks that a plan can name."""
        parts: set[BlockPart] = set(STREAMS) if self.streams else set()
        one = "its blocks see text and image as one sequence"
        unknown = "it isn't known which outputs of its blocks are text and which image"
        lacking = {} if self.streams else dict.fromkeys(STREAMS, unknown if self.streams is None else one)
        if self.sublayers is None:
            lacking |= dict.fromkeys(SUBLAYERS, "it isn't known which of its submodules are one")
        else:
            parts |= SUBLAYERS
            if self.sublayers.attention_feeds:
                parts.remove(BlockPart.ATTENTION)
                lacking[BlockPart.ATTENTION] = (
                    "its attention reaches the output through the feed-forward alone, so that without that nothing is "
                    "left of the block; leave the block out instead"
                )
        return StackParts(frozenset(parts), lacking, self.text_ends)


@dataclass(frozen=True)
class WidthKeys:
    """Keys of a transformer's config that hold a width, for building it narrower. Those that it lacks are empty.

    ``heads`` and ``head_width``: the number of attention heads and the width of each. ``text``: the widths of the
    text states and of the pooled vector. ``projected_text``: the width at which text enters the blocks, which is the
    model's own (heads x head width). ``rotary_axes``: each rotary axis' share of a head.
    """

    heads: str = "num_attention_heads"
    head_width: str = "attention_head_dim"
    text: tuple[str, ...] = ("joint_attention_dim",)
    projected_text: str = ""
    rotary_axes: str = ""


class Bounds(NamedTuple):
    """The least and the most that a setting may be, in harness.json as on a command line."""

    least: int
    most: int


STEPS = Bounds(1, 10_000)
SEEDS = Bounds(2, 1000)  # fewer have no deviation, which is the unit of harm
BATCH = Bounds(1, 4096)
PIXELS = Bounds(8, 16_384)  # a side
LAYERS = Bounds(1, 64)
CACHE_GB = 20  # what a cache may hold unless it is told


def _within(bounds: Bounds) -> Rule:
    return Rule(lambda number: bounds.least <= number <= bounds.most, f"a number from {bounds.least} to {bounds.most}")


def _is_path(text: str) -> bool:
    return text.isprintable() and len(text) <= 2000 and all(len(part) <= 255 for part in text.split("/"))


_Path = Annotated[str, Rule(_is_path, "a name or a path")]


@dataclass(frozen=True)
class Settings:
    """How a checkpoint is sampled and judged; a folder's ``harness.json`` overrides what is known of it.

    ``judge`` is a folder beside the checkpoint's (a name without a slash), a path, or open_clip's
    ``ARCHITECTURE/TAG``, and ``prompts`` a file likewise; both have defaults. ``world`` says that prompts
    are sentences of the bundled world, so that the exact checker applies. ``negative_prompt`` is
    what classifier-free guidance pushes away from; where there is none, it has no effect. ``layers`` is the number of
    RGBA layers that a picture is taken apart into, by a pipeline that does so; it has no effect on others.
    """

    steps: Annotated[int, _within(STEPS)] = 4
    guidance: Annotated[float, _within(Bounds(0, 1000))] = 0.0
    negative_prompt: str = ""
    height: Annotated[int, _within(PIXELS)] = 1024
    width: Annotated[int, _within(PIXELS)] = 1024
    max_sequence_length: Annotated[int, _within(Bounds(1, 8192))] = 256
    dtype: str = "float32"
    batch: Annotated[int, _within(BATCH)] = 1
    seeds: Annotated[int, _within(SEEDS)] = 4
    prompts: _Path = ""
    judge: _Path = ""
    world: bool = False
    layers: Annotated[int, _within(LAYERS)] = 4

    @property
    def guides(self) -> bool:
        """Whether the scale of classifier-free guidance changes anything; up to 1 the pipelines leave it out."""
        return self.guidance > 1.0


class PositionLimit(enum.StrEnum):
    """What ``pos_embed_max_size`` of a transformer's config counts: the tokens that it has positions for."""

    SIDE = "side"  # along each side of an image
    SQUARE = "square"  # in all of the largest square image


@dataclass(frozen=True, kw_only=True)
class Family:
    """A transformer class, its pipeline, and what differs between families and can be said without torch.

    ``name`` is the family's name in ids and baselines; ``adapter`` is the class that knows its pipeline, as
    ``module:Class`` (see :mod:`harness.models.families.base`); ``transformer`` and ``pipeline`` are classes of
    diffusers. ``stacks`` are in running order. ``settings`` are the pipeline's own defaults.

    ``guidance_batched``: classifier-free guidance runs both passes in one forward, [negative, positive].
    ``timestep_scale``: the transformer's timestep argument at noise level 1. ``timestep_cast``: the pipeline casts
    that argument to the latents' dtype; otherwise it is fp32. ``latent_pixels``: pixels a side that the VAE makes
    one latent of, where no VAE's config says. ``token_latents``: latents a side of an image token. ``text_first``:
    joint attention has the text tokens ahead of the image tokens; otherwise they are behind.

    What only some families have is None or empty in the others: ``position_ids``, the arguments by which the
    transformer is told the positions of text and image tokens; ``rotary``, the attribute of the transformer whose
    ``theta`` is the base of its rotary embedding; ``masked_tokenizer``, the pipeline's tokenizer whose attention
    mask the text encoder obeys; ``position_limit``, what is counted where an
    image's size is limited by a table of positions.
    """

    name: str
    adapter: str
    transformer: str
    pipeline: str
    stacks: tuple[Stack, ...]
    settings: Settings
    guidance_batched: bool
    timestep_scale: float
    timestep_cast: bool
    width_keys: WidthKeys
    latent_pixels: int
    position_ids: tuple[str, str] | None = None
    rotary: str = ""
    masked_tokenizer: str = ""
    position_limit: PositionLimit | None = None
    text_first: bool = True
    token_latents: int = 2

    @property
    def general(self) -> bool:
        """Whether its pipeline has no adapter of its own, and is known by its own signature alone."""
        return self.adapter in (GENERAL_ADAPTER, LAYERED_ADAPTER)

    @property
    def layered(self) -> bool:
        """Whether its pipeline takes a picture with each prompt, and makes RGBA layers of it."""
        return self.adapter == LAYERED_ADAPTER

    @property
    def diffusers_names(self) -> Mapping[str, str]:
        """The name of each stack in diffusers -> its name here: ``transformer_blocks`` -> ``double``."""
        return {stack.attribute: stack.name for stack in self.stacks}

    @property
    def parts(self) -> Mapping[str, StackParts]:
        """The parts of the blocks of each stack."""
        return {stack.name: stack.parts for stack in self.stacks}

    def guided(self, settings: Settings) -> bool:
        """Whether classifier-free guidance puts every image into a forward twice: as the pipelines decide."""
        return self.guidance_batched and settings.guides


# LoKr: modulation and feed-forward at f, attention at 2f.
FLUX = Family(
    name="flux",
    adapter="harness.models.families.flux:Flux",
    transformer="FluxTransformer2DModel",
    pipeline="FluxPipeline",
    stacks=(
        Stack(
            "double",
            "transformer_blocks",
            "num_layers",
            block="FluxTransformerBlock",
            lokr_at_factor=("norm1*", "norm1_context*", "ff*"),
            sublayers=Sublayers(("attn",), ("ff", "ff_context")),
            streams=True,
        ),
        Stack(
            "single",
            "single_transformer_blocks",
            "num_single_layers",
            block="FluxSingleTransformerBlock",
            # The feed-forward is in the block itself; proj_out closes it, and the attention with it.
            lokr_at_factor=("norm*", "proj_mlp*", "proj_out*"),
            sublayers=Sublayers(("attn",), ("proj_mlp",), feed_forward_bias="proj_out"),
            streams=True,  # one sequence inside a block, two outside
            text_ends=True,
        ),
    ),
    settings=Settings(steps=28, guidance=3.5, max_sequence_length=512, dtype="bfloat16"),
    guidance_batched=False,  # distilled into the model, which is told the number
    timestep_scale=1.0,
    timestep_cast=True,
    width_keys=WidthKeys(text=("joint_attention_dim", "pooled_projection_dim"), rotary_axes="axes_dims_rope"),
    latent_pixels=8,
    position_ids=("txt_ids", "img_ids"),
    rotary="pos_embed",
)
SD3 = Family(
    name="sd3",
    adapter="harness.models.families.sd3:Sd3",
    transformer="SD3Transformer2DModel",
    pipeline="StableDiffusion3Pipeline",
    stacks=(
        Stack(
            "joint",
            "transformer_blocks",
            "num_layers",
            block="JointTransformerBlock",
            lokr_at_factor=("norm1*", "norm1_context*", "ff*"),
            sublayers=Sublayers(("attn", "attn2"), ("ff", "ff_context")),
            streams=True,
            text_ends=True,
        ),
    ),
    settings=Settings(steps=28, guidance=7.0, max_sequence_length=256, dtype="bfloat16"),
    guidance_batched=True,
    timestep_scale=1000.0,
    timestep_cast=False,
    width_keys=WidthKeys(
        text=("joint_attention_dim", "pooled_projection_dim"), projected_text="caption_projection_dim"
    ),
    latent_pixels=8,
    position_limit=PositionLimit.SIDE,
    text_first=False,
)
AURAFLOW = Family(
    name="auraflow",
    adapter="harness.models.families.auraflow:AuraFlow",
    transformer="AuraFlowTransformer2DModel",
    pipeline="AuraFlowPipeline",
    stacks=(
        Stack(
            "double",
            "joint_transformer_blocks",
            "num_mmdit_layers",
            block="AuraFlowJointTransformerBlock",
            lokr_at_factor=("norm1*", "norm1_context*", "ff*"),
            sublayers=Sublayers(("attn",), ("ff", "ff_context"), attention_feeds=True),
            streams=True,
        ),
        Stack(
            "single",
            "single_transformer_blocks",
            "num_single_dit_layers",
            block="AuraFlowSingleTransformerBlock",
            lokr_at_factor=("norm1*", "ff*"),
            sublayers=Sublayers(("attn",), ("ff",), attention_feeds=True),
        ),
    ),
    settings=Settings(steps=50, guidance=3.5, max_sequence_length=256, dtype="bfloat16"),
    guidance_batched=True,
    timestep_scale=1.0,
    timestep_cast=True,
    width_keys=WidthKeys(projected_text="caption_projection_dim"),
    latent_pixels=8,
    masked_tokenizer="tokenizer",
    position_limit=PositionLimit.SQUARE,
)
FAMILIES: dict[str, Family] = {family.transformer: family for family in (FLUX, SD3, AURAFLOW)}

"""The families of transformers that can be ablated, and how a checkpoint is sampled."""

from __future__ import annotations

from dataclasses import dataclass

DTYPES = ("float32", "bfloat16", "float16")
OFFLOADS = ("none", "model", "group")


@dataclass(frozen=True)
class Stack:
    """One ModuleList of blocks: our name, the model's attribute, the config key that holds its length."""

    name: str
    attribute: str
    length_key: str


@dataclass(frozen=True)
class Settings:
    """How a checkpoint is sampled and judged; a folder's ``harness.json`` overrides what is known of it.

    ``judge`` is a folder beside the checkpoint's (a name without a slash), a path, or open_clip's
    ``ARCHITECTURE/TAG``, and ``prompts`` a file likewise; both have defaults. ``world`` says that prompts
    are sentences of the bundled world, so that the exact checker applies. ``negative_prompt`` is
    what classifier-free guidance pushes away from; where there is none, it has no effect.
    """

    steps: int = 4
    guidance: float = 0.0
    negative_prompt: str = ""
    height: int = 1024
    width: int = 1024
    max_sequence_length: int = 256
    dtype: str = "float32"
    batch: int = 1
    seeds: int = 4
    prompts: str = ""
    judge: str = ""
    world: bool = False


@dataclass(frozen=True)
class Family:
    """A transformer class and how its pipeline is normally run: ``settings`` are the pipeline's own defaults."""

    name: str
    transformer: str
    pipeline: str
    stacks: tuple[Stack, ...]
    settings: Settings


FLUX = Family(
    "flux",
    "FluxTransformer2DModel",
    "FluxPipeline",
    (
        Stack("double", "transformer_blocks", "num_layers"),
        Stack("single", "single_transformer_blocks", "num_single_layers"),
    ),
    Settings(steps=28, guidance=3.5, max_sequence_length=512, dtype="bfloat16"),
)
SD3 = Family(
    "sd3",
    "SD3Transformer2DModel",
    "StableDiffusion3Pipeline",
    (Stack("joint", "transformer_blocks", "num_layers"),),
    Settings(steps=28, guidance=7.0, max_sequence_length=256, dtype="bfloat16"),
)
AURAFLOW = Family(
    "auraflow",
    "AuraFlowTransformer2DModel",
    "AuraFlowPipeline",
    (
        Stack("double", "joint_transformer_blocks", "num_mmdit_layers"),
        Stack("single", "single_transformer_blocks", "num_single_dit_layers"),
    ),
    Settings(steps=50, guidance=3.5, max_sequence_length=256, dtype="bfloat16"),
)
FAMILIES: dict[str, Family] = {family.transformer: family for family in (FLUX, SD3, AURAFLOW)}

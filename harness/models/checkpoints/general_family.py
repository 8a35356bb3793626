"""A family for any text-to-image pipeline of diffusers, from the source of its classes; or why there is none.

The pipeline's own ``encode_prompt``, ``prepare_latents`` and ``__call__`` are what cases run on
(:mod:`harness.models.families.general`), so they must be there, and the images must come from prompts alone: or, in
layers, from prompts and the pictures that these describe (:mod:`harness.models.families.layered`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.ablation.case import slug
from harness.errors import CheckpointError
from harness.models.checkpoints.class_source import ListSource, PipelineSource, block_lists, pipeline_source
from harness.models.spec import FAMILIES, GENERAL_ADAPTER, LAYERED_ADAPTER, Family, Settings, Stack, WidthKeys

MODULAR_INDEX = "modular_model_index.json"
# Parameters of a pipeline's call that say what it makes, or of what it makes it.
_VIDEO = ("num_frames", "video_length", "frames", "video", "control_video")
_AUDIO = ("audio_length_in_s", "audio_end_in_s", "audio_duration", "lyrics")
_FROM_IMAGES = ("strength", "mask_image", "mask", "control_image", "controlnet_conditioning_scale", "reference_image")
_OF_LAYERS = ("image", "layers", "resolution")  # of a call that takes a picture apart into RGBA layers
_IMAGES = ("image", "images", "video")  # of `prepare_latents`
_SIZE = ("height", "width")
_NEEDED = ("prompt", "prompt_embeds", "latents", "generator", "num_inference_steps", *_SIZE, "output_type")
_CALLBACKS = ("callback_on_step_end", "callback")
_UNPACKED = "AutoencoderDC"  # its latents are so few that its transformers take them one by one
_LATENT_PIXELS = 8
_STILL = "ablate(pipeline, plan) works on it as it is (docs/library.md)"


def general_family(index: Mapping[str, Any], what: str) -> Family:
    """The family of a pipeline by its model_index.json, with the lists of blocks that its transformer can have.

    ``what`` begins a message. Raises CheckpointError with the reason where no images can be made of prompts alone.
    """
    kind, transformer = str(index.get("_class_name")), str(index["transformer"][1])
    source = pipeline_source(kind)
    if source is not None and not block_lists(transformer):
        transformer = source.transformer or transformer  # saved under an older name of it, which diffusers translates
    lists = block_lists(transformer)
    if source is None:
        reason = f"diffusers {metadata.version('diffusers')} has no pipeline of that name; install one that has it"
    else:
        reason = _not_from_prompts(index, source) or ("" if lists else _no_blocks(transformer))
    if reason or source is None:
        raise CheckpointError(f"{what} is a {kind} with {transformer}: {reason}")
    named = Settings()
    layered = _makes_layers(source)
    # A picture's sides follow from the resolution. The negative prompt is that of the example in diffusers' pages.
    height, width = ("resolution",) * 2 if layered else _SIZE
    return declared_family(
        kind,
        transformer,
        lists,
        settings=Settings(
            steps=_whole(source, "num_inference_steps", 50),
            guidance=_number(source, source.guidance, 0.0),
            max_sequence_length=_whole(source, "max_sequence_length", named.max_sequence_length),
            height=_whole(source, height, named.height),
            width=_whole(source, width, named.width),
            dtype="bfloat16",
            negative_prompt=" " if layered else "",
            layers=_whole(source, "layers", named.layers),
        ),
        adapter=LAYERED_ADAPTER if layered else GENERAL_ADAPTER,
        guidance_batched=source.one_forward,
        token_latents=1 if _class_of(index, "vae") == _UNPACKED else 2,
    )


def declared_family(
    pipeline: str,
    transformer: str,
    lists: Sequence[ListSource],
    *,
    settings: Settings,
    guidance_batched: bool = False,
    token_latents: int = 2,
    adapter: str = GENERAL_ADAPTER,
) -> Family:
    """The family of a pipeline of which these facts are known; its stacks have the names that diffusers gives them."""
    return Family(
        name=slug(re.sub(r"Transformer(\dD)?(Model)?$", "", transformer).lower()),
        adapter=adapter,
        transformer=transformer,
        pipeline=pipeline,
        stacks=tuple(
            Stack(each.attribute, each.attribute, each.length_key, each.block, (), streams=None) for each in lists
        ),
        settings=settings,
        guidance_batched=guidance_batched,
        timestep_scale=1.0,
        timestep_cast=True,
        width_keys=WidthKeys(),
        latent_pixels=_LATENT_PIXELS,
        token_latents=token_latents,
    )


def with_present_stacks(family: Family, config: Mapping[str, Any], folder: Path) -> Family:
    """The family with the lists that have at least two blocks by the transformer's config: one alone is no stack.

    Raises CheckpointError where none is left.
    """
    lengths = {stack: config.get(stack.length_key) for stack in family.stacks}
    stacks = tuple(stack for stack, length in lengths.items() if not isinstance(length, int) or length > 1)
    if not stacks:
        raise CheckpointError(
            f"{folder / 'transformer' / 'config.json'}: no list of blocks has more than one, so nothing can be left out"
        )
    return replace(family, stacks=stacks)


def modular_reason(kind: object = None) -> str:
    """Why a modular pipeline is refused, to follow its name; ``kind`` is its class, where known."""
    named = f" ({kind})" if kind else ""
    return (
        f"is a modular pipeline{named}, put together from steps with inputs of their own: it has no __call__ with "
        "prompts, generators and latents that cases could be run on; load it with diffusers and use "
        "ablate(pipeline.transformer, plan)"
    )


def _makes_layers(source: PipelineSource) -> bool:
    """Whether a pipeline takes a picture apart into RGBA layers."""
    return set(_OF_LAYERS) <= set(source.parameters)


def _not_from_prompts(index: Mapping[str, Any], source: PipelineSource) -> str:
    """The first reason why cases can't run on a pipeline; empty where they can."""
    known = FAMILIES.get(str(index["transformer"][1]))
    parameters = source.parameters
    video, audio, image = (next((n for n in names if n in parameters), "") for names in (_VIDEO, _AUDIO, _FROM_IMAGES))
    taken = next((name for name in source.prepares or () if name in _IMAGES), "")
    layered = _makes_layers(source)
    lacking = [name for name in _NEEDED if name not in parameters and not (layered and name in _SIZE)]
    methods = {"encode_prompt": source.returned, "prepare_latents": source.prepares}
    absent = [name for name, found in methods.items() if found is None]
    if _class_of(index, "transformer_2"):
        return (
            "its images take two transformers, and a plan is of one; ablate(pipeline.transformer, plan) and "
            "ablate(pipeline.transformer_2, plan) work on it as it is (docs/library.md)"
        )
    if any(_class_of(index, name) for name in ("controlnet", "adapter")):
        return f"it has a ControlNet, and cases have no image to control with; {_STILL}"
    if video or audio:
        return f"it makes {'videos' if video else 'sound'} ({video or audio}), and harm is measured on images; {_STILL}"
    if image or (not layered and (taken or source.required & set(_IMAGES))):
        where = image or taken or "image"
        return f"it makes images from images ({where}), and cases have prompts alone; {_STILL}"
    if known is not None:
        return f"of a {known.transformer} only {known.pipeline} is known; {_STILL}"
    if absent:
        return f"it has no {' and no '.join(absent)}, so prompts or first latents can't be kept apart; {_STILL}"
    if lacking:
        return f"its __call__ takes no {', '.join(lacking)}; {_STILL}"
    if not any(name in parameters for name in _CALLBACKS):
        return f"its __call__ has no callback, so its latents can't be had; {_STILL}"
    if "prompt_embeds" not in (source.returned or ()):
        return f"its encode_prompt doesn't return prompt_embeds, which its __call__ takes; {_STILL}"
    return ""


def _no_blocks(transformer: str) -> str:
    return (
        f"the source of {transformer} shows no list of blocks that __init__ builds from a number in its config and a "
        f"loop of forward runs; {_STILL}"
    )


def _class_of(index: Mapping[str, Any], component: str) -> str:
    value = index.get(component)
    return str(value[1]) if isinstance(value, list) and len(value) == 2 and value[1] is not None else ""


def _whole(source: PipelineSource, name: str, otherwise: int) -> int:
    value = source.parameters.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _number(source: PipelineSource, name: str, otherwise: float) -> float:
    value = source.parameters.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise

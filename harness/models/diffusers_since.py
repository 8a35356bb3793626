"""Since which release diffusers has what this package can use, for the messages to those who have an older one."""

from __future__ import annotations

from importlib import metadata

# Class, or Class.method, or Class.method(argument) -> the first release that has it. Read from the sources of 0.33.1,
# 0.34.0, 0.35.0, 0.36.0, ..., 0.42.0; docs/checkpoints.md has the same table.
SINCE = {
    "AuraFlowPipeline.load_lora_weights": "0.34",
    "ChromaPipeline": "0.34",
    "ChromaTransformer2DModel": "0.34",
    "FirstBlockCacheConfig": "0.35",
    "QwenImagePipeline": "0.35",
    "QwenImageTransformer2DModel": "0.35",
    "Flux2Pipeline": "0.36",
    "Flux2Transformer2DModel": "0.36",
    "TaylorSeerCacheConfig": "0.36",
    "ZImagePipeline": "0.36",
    "ZImageTransformer2DModel": "0.36",
    "Flux2KleinPipeline": "0.37",
    "MagCacheConfig": "0.37",
    "QwenImageLayeredPipeline": "0.37",
    "UniPCMultistepScheduler.set_timesteps(sigmas)": "0.37",
    "TextKVCacheConfig": "0.38",
    "SeaCacheConfig": "0.41",
}


def not_in_this_release(name: str) -> str:
    """``diffusers 0.33.1 has no ZImagePipeline; it needs diffusers >= 0.36``, for what the installed one lacks."""
    needed = SINCE.get(name)
    fix = f"it needs diffusers >= {needed}" if needed else "upgrade diffusers"
    return f"diffusers {metadata.version('diffusers')} has no {name}; {fix}"

"""The caches that diffusers has itself, switched on by ``transformer.enable_cache``.

What they leave out depends on the images, so it is counted: the multiplications of the linear layers in the blocks,
over those of as many forwards like the first, in which every cache computes everything.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import numpy as np
from diffusers import hooks
from torch import Tensor, nn

from harness.errors import SurgeryError
from harness.models.diffusers_since import not_in_this_release
from harness.models.stacks import blocks_at, stacks
from harness.modifiers.base import Counts, Target, refuse
from harness.modifiers.probed import ProbedRun

_MIXIN = re.compile(r"^class (\w+)\([^)]*\bCacheMixin\b[^)]*\)", flags=re.MULTILINE)
_RATIOS = re.compile(r"^\[[-+0-9.e, naif]+\]$", flags=re.MULTILINE)
_MOST_PROMPTS = 16  # of the calibration


class _Kind(NamedTuple):
    """A cache: the name of its configuration in diffusers, how that is made, and the only class it is for, if any."""

    configuration: str
    make: Callable[[DiffusersCache], Any]
    only: str = ""


def _first_block(run: DiffusersCache) -> Any:
    return hooks.FirstBlockCacheConfig(threshold=run.target.parameters["t"] / 1000)


def _taylorseer(run: DiffusersCache) -> Any:
    values = run.target.parameters
    return hooks.TaylorSeerCacheConfig(
        cache_interval=values["n"],
        disable_cache_before_step=values["b"],
        max_order=values["o"],
        taylor_factors_dtype=run.target.sampler.pipeline.transformer.dtype,
    )


def _mag(run: DiffusersCache) -> Any:
    values = run.target.parameters
    return hooks.MagCacheConfig(
        threshold=values["t"] / 1000,
        max_skip_steps=values["k"],
        num_inference_steps=run.target.sampler.settings.steps,
        mag_ratios=run.ratios,
    )


def _pyramid(run: DiffusersCache) -> Any:
    pipeline = run.target.sampler.pipeline
    return hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=run.target.parameters["n"],
        spatial_attention_timestep_skip_range=(-1, 1001),
        current_timestep_callback=lambda: pipeline._current_timestep,  # noqa: SLF001 - diffusers' own advice
    )


def _faster(run: DiffusersCache) -> Any:
    pipeline = run.target.sampler.pipeline
    return hooks.FasterCacheConfig(
        current_timestep_callback=lambda: pipeline._current_timestep,  # noqa: SLF001 - diffusers' own advice
    )


_KINDS = {
    "first-block-cache": _Kind("FirstBlockCacheConfig", _first_block),
    "taylorseer-cache": _Kind("TaylorSeerCacheConfig", _taylorseer),
    "mag-cache": _Kind("MagCacheConfig", _mag),
    "pyramid-attention": _Kind("PyramidAttentionBroadcastConfig", _pyramid),
    "faster-cache": _Kind("FasterCacheConfig", _faster),
    "sea-cache": _Kind("SeaCacheConfig", lambda _run: hooks.SeaCacheConfig(), "Cosmos3OmniTransformer"),
    "text-kv-cache": _Kind(
        "TextKVCacheConfig", lambda _run: hooks.TextKVCacheConfig(), "NucleusMoEImageTransformer2DModel"
    ),
}


class DiffusersCache(ProbedRun):
    """One of diffusers' caches on the whole transformer."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._kind = _KINDS[target.placed.name]
        self.ratios: list[float] = []
        self._work: list[float] = []  # multiplications of each forward
        self._share: float | None = None
        model = target.transformer
        name = type(model).__name__
        if not hasattr(hooks, self._kind.configuration):
            raise refuse(target.placed, not_in_this_release(self._kind.configuration))
        if not hasattr(model, "enable_cache"):
            raise refuse(target.placed, f"{name} of diffusers has no caches (CacheMixin); these have: {_with_caches()}")
        if self._kind.make is _faster and not any(n.endswith("attn1") for n, _ in model.named_modules()):
            raise refuse(
                target.placed, f"it is for blocks with attn1 (CogVideoXTransformer3DModel), and {name} has none"
            )
        if self._kind.only not in ("", name):
            raise refuse(target.placed, f"diffusers has it for {self._kind.only}, and not for {name}")

    def calibrate(self) -> None:
        """MagCache's ratios of magnitudes, by diffusers' own calibration on some of the prompts; then one image."""
        if self._kind.make is _mag:
            steps = self.target.sampler.settings.steps
            self.ratios = self.target.calibrations.of(("mag-cache", steps), self._measured_ratios)
        super().calibrate()

    def _measured_ratios(self) -> list[float]:
        sampler, model = self.target.sampler, self.target.transformer
        model.enable_cache(hooks.MagCacheConfig(calibrate=True, num_inference_steps=sampler.settings.steps))
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                sampler.sample(self.target.prompts[:_MOST_PROMPTS], 0, between=self._reset)
        finally:
            model.disable_cache()
        runs = [ast.literal_eval(text) for text in _RATIOS.findall(printed.getvalue())]
        if not runs:
            raise refuse(self.target.placed, "diffusers' calibration of MagCache printed no ratios")
        return [float(ratio) for ratio in np.mean(runs, axis=0)]

    def _reset(self, step: int) -> None:
        if step == 0:
            self.target.transformer._reset_stateful_cache()  # noqa: SLF001 - the pipelines call it after each image

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The cache enabled, its state empty, the linear layers' work counted."""
        model = self.target.transformer
        self._work = []
        with ExitStack() as contexts:
            contexts.callback(model.register_forward_pre_hook(self._begin_forward).remove)
            for layer in linear_layers(model):
                contexts.callback(layer.register_forward_hook(self._count).remove)
            model.enable_cache(self._kind.make(self))
            contexts.callback(model.disable_cache)
            yield

    def before_step(self, step: int) -> None:
        """A batch begins without anything kept of the one before."""
        self._reset(step)

    def _begin_forward(self, _module: nn.Module, _args: object) -> None:
        self._work.append(0.0)

    def _count(self, layer: nn.Module, args: tuple[Tensor, ...], _output: object) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        self._work[-1] += weight.numel() * (args[0].numel() // weight.shape[1])

    def counted_cost(self) -> float | None:
        """The share of the blocks' work that was done."""
        return self._share

    def check(self, counts: Counts) -> None:
        """In some forward less was computed than in the first one of its batch."""
        forwards = len(self._work) // counts.batches
        whole = sum(self._work[batch * forwards] * forwards for batch in range(counts.batches))
        self._share = sum(self._work) / whole if whole else None
        if self._share is None or self._share >= 1:
            raise SurgeryError(
                f"{self.target.placed}: the cache was never used in {counts.forwards} forwards; a larger threshold, or "
                "more denoising steps, would let it"
            )


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    """The linear layers inside the blocks of a transformer's stacks."""
    return [
        layer
        for attribute in stacks(model).values()
        for blocks in [blocks_at(model, attribute)]
        for block in (blocks[i] for i in range(len(blocks)))
        for layer in block.modules()
        if isinstance(layer, nn.Linear)
    ]


@cache
def _with_caches() -> str:
    """The transformers of the installed diffusers that have caches, from its source alone."""
    folder = Path(diffusers.__file__).parent / "models" / "transformers"
    names = [name for file in sorted(folder.glob("*.py")) for name in _MIXIN.findall(file.read_text("utf-8"))]
    return ", ".join(sorted(names))

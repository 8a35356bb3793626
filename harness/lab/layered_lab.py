"""A model that takes an image apart into RGBA layers, and what plans do to each layer and to their composite.

The model under test is QwenImageLayeredPipeline of diffusers: a picture and its description go in, layers come out, the
background first. One call makes one decomposition: given several pictures, diffusers 0.42 deals their layers out as if
there was one more of each.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.ablation.plan import Plan
from harness.errors import CheckpointError, DataError, PromptError
from harness.lab.layers import alpha_drift, composite, layer_drift, over_backdrop
from harness.lab.observation import to_bytes
from harness.lab.pictures import Picture
from harness.metrics.judge import OpenClipJudge
from harness.models.kernels import pinned
from harness.models.sampler import generator_for, latents_sha256
from harness.results.arrays import Array, Values
from harness.results.layered import LayerDistances, LayeredMeasurement, LayerHarm
from harness.results.statistics import pooled_seed_sd
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import AblationView

PIPELINE = "QwenImageLayeredPipeline"
_RESOLUTIONS = (640, 1024)  # the only ones that the pipeline takes: the root of the number of pixels


@dataclass(frozen=True)
class Decomposition:
    """How pictures are taken apart; the defaults are those of the example in diffusers' documentation.

    ``guidance`` is the pipeline's ``true_cfg_scale``. Raises DataError for what the pipeline doesn't take.
    """

    layers: int = 4
    steps: int = 50
    guidance: float = 4.0
    negative_prompt: str = " "
    resolution: int = 640

    def __post_init__(self) -> None:
        if self.layers < 1 or self.steps < 1:
            raise DataError(f"a decomposition needs a layer and a step or more, not {self.layers} and {self.steps}")
        if self.resolution not in _RESOLUTIONS:
            raise DataError(f"the pipeline takes a resolution of 640 or 1024, not {self.resolution}")

    def arguments(self) -> dict[str, Any]:
        """The arguments of the pipeline's call."""
        return {
            "layers": self.layers,
            "num_inference_steps": self.steps,
            "true_cfg_scale": self.guidance,
            "negative_prompt": self.negative_prompt,
            "resolution": self.resolution,
        }


@dataclass(frozen=True)
class _Layers:
    """``layers`` (L, 4, H, W) uint8 of one picture and seed, and the hash of the latents they were decoded from."""

    layers: Tensor
    sha256: str

    @property
    def pixels(self) -> Tensor:
        """The layers in 0..1."""
        return self.layers.float().div(255)


@dataclass(frozen=True)
class _Scores:
    """The judge's scores of each layer alone, (N, L), and of the composites, (N,)."""

    layers: Array
    composite: Values


class LayeredLab:
    """One loaded QwenImageLayeredPipeline with pictures; :meth:`run` measures a plan against the model as it is.

    ``pictures`` are pairs of an image and what is on it; with the same text and seed, every variant starts from the
    same latents. ``judge`` is an open_clip folder or checkpoint, as for Lab; without one there is no harm. The
    control's layers are made once, when they are first needed, and kept in main memory as bytes.

    Raises CheckpointError for another pipeline, DataError without pictures or seeds, PromptError for an empty
    description.
    """

    def __init__(
        self,
        pipeline: Any,
        pictures: Sequence[tuple[Image.Image, str]],
        settings: Decomposition | None = None,
        *,
        seeds: Sequence[int] = (0, 1),
        judge: str | Path | None = None,
    ) -> None:
        _check_pipeline(pipeline)
        self.pipeline = pipeline
        self.pictures = tuple(_picture(number, *pair) for number, pair in enumerate(pictures))
        self.settings = Decomposition() if settings is None else settings
        self.seeds = tuple(dict.fromkeys(seeds))
        if not self.pictures or not self.seeds:
            raise DataError(f"{len(self.pictures)} pictures and {len(self.seeds)} seeds: it takes one of each or more")
        self._judge = None if judge is None else OpenClipJudge(judge, pipeline._execution_device)  # noqa: SLF001
        pipeline.set_progress_bar_config(disable=True)

    def decompose(self, picture: int, seed: int) -> Tensor:
        """(L, 4, H, W) uint8: the layers of a picture by its number, of the model as it stands."""
        return self._decompose(self.pictures[picture], seed).layers

    def run(self, plan: Plan | str, stack: str | None = None, *, force_slots: bool = False) -> LayeredMeasurement:
        """Measure a plan on every picture and seed; the arguments are those of :func:`harness.surgery.view.ablate`.

        Raises PlanError for a plan that doesn't fit, before anything is made, and SurgeryError where the blocks that
        ran are not the plan's.
        """
        view = AblationView(self.pipeline, plan, stack, force_slots=force_slots)
        control = self._control
        with view, traced(self.pipeline.transformer, view.stack) as ran:
            variant = self._all()
        check_trace(ran, view.runs, view.stack)
        scores = self._scores(variant)
        return LayeredMeasurement(
            plan=f"{view.stack}: {view.plan}",
            pictures=len(self.pictures),
            seeds=self.seeds,
            identical=[each.sha256 for each in variant] == [each.sha256 for each in control],
            collapsed=sum(int(to_bytes(composite(each.pixels)[None]).collapsed[0]) for each in variant),
            distances=_distances(control, variant),
            between_seeds=self._between_seeds,
            harm=None if scores is None else self._harm(scores),
        )

    @cached_property
    def _control(self) -> list[_Layers]:
        return self._all()

    @cached_property
    def _between_seeds(self) -> LayerDistances | None:
        number = len(self.seeds)
        rows = [self._control[i : i + number] for i in range(0, len(self._control), number)]
        pairs = [pair for row in rows for pair in combinations(row, 2)]
        return _distances([a for a, _ in pairs], [b for _, b in pairs]) if pairs else None

    @cached_property
    def _control_scores(self) -> _Scores | None:
        return self._scores(self._control)

    def _scores(self, several: Sequence[_Layers]) -> _Scores | None:
        """The scores of each decomposition by itself: all images at once could fill the memory."""
        judge = self._judge
        if judge is None:
            return None
        texts = [picture.prompt for picture in self.pictures for _ in self.seeds]
        rows: list[Values] = []
        for each, text in zip(several, texts, strict=True):
            images = to_bytes(torch.cat([over_backdrop(each.pixels), composite(each.pixels)[None]])).images
            rows.append(judge.score(judge.embed_images(images), [text] * len(images)).astype(np.float64))
        scores = np.stack(rows)
        return _Scores(layers=scores[:, :-1], composite=scores[:, -1])

    def _harm(self, scores: _Scores) -> LayerHarm:
        control = self._control_scores
        assert control is not None
        several = len(self.seeds) > 1
        return LayerHarm(
            control.layers - scores.layers,
            control.composite - scores.composite,
            pooled_seed_sd(control.composite.reshape(len(self.pictures), -1)) if several else None,
        )

    def _all(self) -> list[_Layers]:
        return [self._decompose(picture, seed) for picture in self.pictures for seed in self.seeds]

    def _decompose(self, picture: Picture, seed: int) -> _Layers:
        last: list[Tensor] = []

        def keep(_pipeline: Any, _step: int, _time: Any, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            last[:] = [tensors["latents"]]
            return {}

        with pinned():
            (layers,) = self.pipeline(
                picture.image,
                picture.prompt,
                **self.settings.arguments(),
                generator=generator_for(picture.prompt, seed),
                output_type="pt",
                callback_on_step_end=keep,
                callback_on_step_end_tensor_inputs=["latents"],
            ).images
        if layers.ndim != 4 or layers.shape[1] != 4:
            raise CheckpointError(
                f"the {PIPELINE} gives layers of {layers.shape[1]} channels, not 4 (RGBA): the vae is not one of layers"
            )
        pixels = layers.float().cpu()
        if not torch.isfinite(pixels).all():
            pixels = torch.full_like(pixels, 0.5)  # a constant, so its composite has collapsed
        pixels = pixels.clamp(0, 1)
        return _Layers(pixels.mul(255).round().to(torch.uint8), latents_sha256(last[0].cpu()))


def _distances(a: Sequence[_Layers], b: Sequence[_Layers]) -> LayerDistances:
    pairs = [(x.pixels, y.pixels) for x, y in zip(a, b, strict=True)]
    return LayerDistances(
        colour=torch.stack([layer_drift(x, y) for x, y in pairs]).double().numpy(),
        alpha=torch.stack([alpha_drift(x, y) for x, y in pairs]).double().numpy(),
        composite=torch.stack([(composite(x) - composite(y)).square().mean() for x, y in pairs]).double().numpy(),
    )


def _check_pipeline(pipeline: Any) -> None:
    call = inspect.signature(type(pipeline).__call__).parameters if callable(pipeline) else {}
    if not {"image", "prompt", "layers", "resolution"} <= set(call):
        raise CheckpointError(
            f"a {type(pipeline).__name__} makes no layers: LayeredLab takes a loaded {PIPELINE} of diffusers, and Lab "
            "a checkpoint that makes images from prompts"
        )


def _picture(number: int, image: object, prompt: object) -> Picture:
    if not isinstance(image, Image.Image):
        raise DataError(f"picture {number} is a {type(image).__name__}, not an image of PIL; use PIL.Image.open(path)")
    if not isinstance(prompt, str) or not prompt.strip():
        # The pipeline would have its text encoder write one, drawn at random where the encoder's settings say so.
        raise PromptError(f"picture {number} has no description; write down what is on it")
    return Picture(image.convert("RGBA"), prompt)

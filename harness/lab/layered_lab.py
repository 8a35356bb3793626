"""A model that takes an image apart into RGBA layers, and what plans do to each layer and to their composite.

The model under test is QwenImageLayeredPipeline of diffusers: a picture and its description go in, layers come out, the
background first (:mod:`harness.models.families.layered`). Cases measure the same on a checkpoint's folder, by
:class:`harness.lab.lab.Lab` with pictures.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from harness.ablation.plan import Plan
from harness.errors import CheckpointError, DataError
from harness.lab.layer_comparison import judge_layers, layer_distances
from harness.lab.observation import to_bytes
from harness.lab.pictures import Picture, checked_picture
from harness.metrics.judge import OpenClipJudge
from harness.models.checkpoints.general_family import general_family
from harness.models.checkpoints.pictures import RESOLUTIONS
from harness.models.families.layered import Layered
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.models.stacks import unwrap_compiled
from harness.results.arrays import Array, Values
from harness.results.layer_figures import LayerDistances
from harness.results.layered import LayeredMeasurement, LayerHarm
from harness.results.statistics import pooled_seed_sd
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import AblationView

PIPELINE = "QwenImageLayeredPipeline"


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
        if self.resolution not in RESOLUTIONS:
            raise DataError(f"the pipeline takes a resolution of 640 or 1024, not {self.resolution}")


def _sampling(decomposition: Decomposition) -> Settings:
    """The same as a checkpoint's settings."""
    return Settings(
        steps=decomposition.steps,
        guidance=decomposition.guidance,
        negative_prompt=decomposition.negative_prompt,
        height=decomposition.resolution,
        width=decomposition.resolution,
        max_sequence_length=512,  # the pipeline's own
        layers=decomposition.layers,
    )


@dataclass(frozen=True)
class _Layers:
    """``layers`` (L, 4, H, W) uint8 of one picture and seed, whether their composite collapsed, the latents' hash."""

    layers: Tensor
    collapsed: bool
    sha256: str


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

    Raises CheckpointError for another pipeline, DataError without pictures or seeds, PromptError for a description that
    is empty, or of which the judge can't read a sentence.
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
        self.pictures = tuple(checked_picture(number, *pair) for number, pair in enumerate(pictures))
        self.settings = Decomposition() if settings is None else settings
        self.seeds = tuple(dict.fromkeys(seeds))
        if not self.pictures or not self.seeds:
            raise DataError(f"{len(self.pictures)} pictures and {len(self.seeds)} seeds: it takes one of each or more")
        index = {"_class_name": PIPELINE, "transformer": ["", type(unwrap_compiled(pipeline.transformer)).__name__]}
        family = general_family(index, "the pipeline")
        self._sampler = Sampler(pipeline, family, _sampling(self.settings), batch=1)
        self._judge = None if judge is None else OpenClipJudge(judge, pipeline._execution_device)  # noqa: SLF001
        if self._judge is not None:
            # All texts together, as Lab reads them: an embedding's last bits depend on its batch.
            self._judge.splits([picture.prompt for picture in self.pictures])

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
            collapsed=sum(each.collapsed for each in variant),
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
        judge = self._judge
        if judge is None:
            return None
        texts = [picture.prompt for picture in self.pictures for _ in self.seeds]
        pairs = zip(several, texts, strict=True)
        scores = np.stack([judge_layers(judge, each.layers, text).scores for each, text in pairs])
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
        adapter = self._sampler.adapter
        assert isinstance(adapter, Layered)
        adapter.take_pictures({picture.prompt: picture.image})
        samples = self._sampler.sample([picture.prompt], seed)
        assert samples.layers is not None
        return _Layers(samples.layers[0], bool(to_bytes(samples.images).collapsed[0]), samples.sha256())


def _distances(a: Sequence[_Layers], b: Sequence[_Layers]) -> LayerDistances:
    return layer_distances([each.layers for each in a], [each.layers for each in b])


def _check_pipeline(pipeline: Any) -> None:
    call = inspect.signature(type(pipeline).__call__).parameters if callable(pipeline) else {}
    if not {"image", "prompt", "layers", "resolution"} <= set(call):
        raise CheckpointError(
            f"a {type(pipeline).__name__} makes no layers: LayeredLab takes a loaded {PIPELINE} of diffusers, and Lab "
            "a checkpoint that makes images from prompts"
        )

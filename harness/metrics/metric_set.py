"""From metrics to columns: the reseed distances that drift is relative to, FID against its null, paired deltas.

A figure is called ``<metric>.<what>``; the report makes a column of every such figure and knows no metric by name.
Figures of what a checkpoint's own settings imply (:func:`harness.metrics.attributes.checkpoint_graders`) have no
metric's name in front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from harness.errors import MetricError
from harness.metrics import distribution, pairs, registry
from harness.metrics.attributes import checkpoint_graders
from harness.metrics.base import Embedder, Grader, Metric, PairDistance, TextScorer
from harness.metrics.batches import Kind
from harness.models.spec import Settings
from harness.results.arrays import Features, Images, Values

_FIX = "fix the metric, or leave it out"


@dataclass(frozen=True)
class Reading:
    """What the metrics make of one set of images by itself, by the metric's name; ``grades`` by the figure's name."""

    features: Mapping[str, Features] = field(default_factory=dict[str, Features])
    scores: Mapping[str, Values] = field(default_factory=dict[str, Values])
    grades: Mapping[str, Values] = field(default_factory=dict[str, Values])


class Figures(NamedTuple):
    """A variant's figures by name: ``values`` (N,) of each image, ``summary`` of the whole set."""

    values: dict[str, Values]
    summary: dict[str, float]


@dataclass(frozen=True)
class MetricSet:
    """The metrics of one lab, the judge aside.

    ``metrics`` are those that were asked for or tried, ``tried`` those that could not be had, with the reason.
    ``implied`` are graders that follow from the checkpoint's settings and the prompts. The fingerprint names both of
    these already, so that it doesn't name the graders.
    """

    metrics: tuple[Metric, ...] = ()
    tried: tuple[tuple[str, str], ...] = ()
    implied: tuple[Grader, ...] = ()

    def left_out(self, images: int) -> dict[str, str]:
        """What is not in the table of a run with that many images a set, and why."""
        few = f"needs {distribution.LEAST} prompts, there are {images}"
        embedders = [m.name for m in self.metrics if isinstance(m, Embedder)] if images < distribution.LEAST else []
        return dict(self.tried) | {f"{name} FID": few for name in embedders}

    @property
    def fingerprint(self) -> dict[str, str]:
        """Which model each metric is."""
        return {metric.name: f"{metric.id} {metric.weights}" for metric in self.metrics}

    def read(self, images: Images, prompts: Sequence[str]) -> Reading:
        """Look at a set of images, one a prompt. Raises MetricError where a metric gives no numbers for them."""
        features = {m.name: _checked(m, m(images), len(images), 2) for m in self.metrics if isinstance(m, Embedder)}
        scores = {
            m.name: _checked(m, m(images, prompts), len(images), 1).astype(np.float64)
            for m in self.metrics
            if isinstance(m, TextScorer)
        }
        grades: dict[str, Values] = {}
        for grader, prefix in self._graders():
            grades |= {f"{prefix}{name}": values for name, values in _grades(grader, images, prompts).items()}
        return Reading(features, scores, grades)

    def need_seeds(self) -> dict[str, str]:
        """Which model each metric is that has a scale from several seeds of the control (:meth:`control`)."""
        return {m.name: f"{m.id} {m.weights}" for m in self.metrics if isinstance(m, PairDistance | Embedder)}

    def control(self, seeds: Sequence[tuple[Images, Reading]]) -> dict[str, float]:
        """The control's own figures over its seeds: mean distance of a reseed, FID of seed against seed, mean score.

        A mean grade is that of the first seed, which variants are measured on.
        """
        out = {name: float(values.mean()) for name, values in seeds[0][1].grades.items()}
        for metric in self.metrics:
            name = metric.name
            if isinstance(metric, Grader):
                continue
            if isinstance(metric, TextScorer):
                out[f"{name}.score"] = float(np.mean([reading.scores[name] for _, reading in seeds]))
                continue
            couples = list(combinations(seeds, 2))
            out[f"{name}.reseed"] = float(np.mean([self._distance(metric, a, b).mean() for a, b in couples]))
            if isinstance(metric, Embedder) and len(seeds[0][0]) >= distribution.LEAST:
                readings = [(a[1].features[name], b[1].features[name]) for a, b in couples]
                out[f"{name}.fid_null"] = float(np.mean([distribution.frechet(x, y) for x, y in readings]))
        return out

    def compare(
        self, base: tuple[Images, Reading], variant: tuple[Images, Reading], control: Mapping[str, float]
    ) -> Figures:
        """The figures of a variant against the control's images of the same prompts and seed."""
        after = variant[1].grades
        values = {f"{name}_loss": grades - after[name] for name, grades in base[1].grades.items()}
        summary = {name: float(losses.mean()) for name, losses in values.items()}
        for metric in self.metrics:
            name = metric.name
            if isinstance(metric, Grader):
                continue
            if isinstance(metric, TextScorer):
                values[f"{name}.score"] = variant[1].scores[name]
                values[f"{name}.harm"] = base[1].scores[name] - variant[1].scores[name]
                summary[f"{name}.delta"] = -float(values[f"{name}.harm"].mean())
                continue
            values[f"{name}.distance"] = self._distance(metric, base, variant)
            if isinstance(metric, Embedder) and f"{name}.fid_null" in control:
                fid = distribution.frechet(base[1].features[name], variant[1].features[name])
                summary[f"{name}.fid"] = fid
                summary[f"{name}.fid_ratio"] = _relative(fid, control[f"{name}.fid_null"])
            summary[f"{name}.drift"] = _relative(float(values[f"{name}.distance"].mean()), control[f"{name}.reseed"])
        return Figures(values, summary)

    def _graders(self) -> Iterator[tuple[Grader, str]]:
        """Every grader with what its figures' names begin with."""
        yield from ((grader, "") for grader in self.implied)
        yield from ((metric, f"{metric.name}.") for metric in self.metrics if isinstance(metric, Grader))

    def _distance(self, metric: Metric, a: tuple[Images, Reading], b: tuple[Images, Reading]) -> Values:
        if isinstance(metric, PairDistance):
            return _checked(metric, metric(a[0], b[0]), len(a[0]), 1).astype(np.float64)
        return pairs.cosine_distance(a[1].features[metric.name], b[1].features[metric.name])


def open_metrics(settings: Settings, prompts: Sequence[str], texts: Sequence[str], device: torch.device) -> MetricSet:
    """The metrics of a checkpoint: those that ``texts`` ask for by name, and what its settings imply.

    Outside the bundled world the built-in metrics are tried, too. Raises HarnessError as
    :func:`harness.metrics.registry.open_all`.
    """
    opened = registry.open_all(texts, device, trying=not settings.world)
    return MetricSet(opened.metrics, opened.left_out, checkpoint_graders(settings, prompts))


def _relative(value: float, floor: float) -> float:
    """A distance in units of another; not a number where that is 0."""
    return value / floor if floor > 0 else float("nan")


def _grades(grader: Grader, images: Images, prompts: Sequence[str]) -> dict[str, Values]:
    graded = grader(images, prompts)
    if set(graded) != set(grader.grades):
        short = f"gave the grades {', '.join(graded) or 'none'} where it names {', '.join(grader.grades)}"
        raise MetricError(grader.name, short, _FIX)
    out = {name: _checked(grader, graded[name], len(images), 1).astype(np.float64) for name in grader.grades}
    if outside := [name for name, values in out.items() if values.size and not 0 <= values.min() <= values.max() <= 1]:
        raise MetricError(grader.name, f"gave values outside 0..1 as {outside[0]!r}", _FIX)
    return out


def _checked(metric: Metric, values: npt.NDArray[Kind], images: int, dimensions: int) -> npt.NDArray[Kind]:
    wrong = values.ndim != dimensions or len(values) != images
    if wrong or not np.isfinite(values).all():
        shape = "x".join(map(str, values.shape))
        short = f"gave {shape} values for {images} images" if wrong else "gave values that are not finite"
        raise MetricError(metric.name, short, _FIX)
    return values

"""From extra metrics to columns: the reseed distances that drift is relative to, FID against its null, paired deltas.

A figure is called ``<metric>.<what>``; the report makes a column of every such figure and knows no metric by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from harness.errors import MetricError
from harness.metrics import distribution, pairs
from harness.metrics.base import Embedder, Metric, PairDistance, TextScorer
from harness.metrics.batches import Kind
from harness.results.arrays import Features, Images, Values


@dataclass(frozen=True)
class Reading:
    """What the metrics make of one set of images by itself."""

    features: Mapping[str, Features] = field(default_factory=dict[str, Features])
    scores: Mapping[str, Values] = field(default_factory=dict[str, Values])


@dataclass(frozen=True)
class Panel:
    """The extra metrics of one lab; ``tried`` are those that could not be had, with the reason."""

    metrics: tuple[Metric, ...] = ()
    tried: tuple[tuple[str, str], ...] = ()

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
        return Reading(features, scores)

    def control(self, seeds: Sequence[tuple[Images, Reading]]) -> dict[str, float]:
        """The control's own figures over its seeds: mean distance of a reseed, FID of seed against seed, mean score."""
        out: dict[str, float] = {}
        for metric in self.metrics:
            name = metric.name
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
        self, base: tuple[Images, Reading], seen: tuple[Images, Reading], control: Mapping[str, float]
    ) -> tuple[dict[str, Values], dict[str, float]]:
        """(per image, over the set) of a variant against the control's images of the same prompts and seed."""
        values: dict[str, Values] = {}
        summary: dict[str, float] = {}
        for metric in self.metrics:
            name = metric.name
            if isinstance(metric, TextScorer):
                values[f"{name}.score"] = seen[1].scores[name]
                values[f"{name}.harm"] = base[1].scores[name] - seen[1].scores[name]
                summary[f"{name}.delta"] = -float(values[f"{name}.harm"].mean())
                continue
            values[f"{name}.distance"] = self._distance(metric, base, seen)
            if isinstance(metric, Embedder) and f"{name}.fid_null" in control:
                fid = distribution.frechet(base[1].features[name], seen[1].features[name])
                summary[f"{name}.fid"] = fid
                summary[f"{name}.fid_ratio"] = relative(fid, control[f"{name}.fid_null"])
            summary[f"{name}.drift"] = relative(float(values[f"{name}.distance"].mean()), control[f"{name}.reseed"])
        return values, summary

    def _distance(self, metric: Metric, a: tuple[Images, Reading], b: tuple[Images, Reading]) -> Values:
        if isinstance(metric, PairDistance):
            return _checked(metric, metric(a[0], b[0]), len(a[0]), 1).astype(np.float64)
        return pairs.cosine_distance(a[1].features[metric.name], b[1].features[metric.name])


def relative(value: float, floor: float) -> float:
    """A distance in units of another; not a number where that is 0."""
    return value / floor if floor > 0 else float("nan")


def _checked(metric: Metric, found: npt.NDArray[Kind], images: int, dimensions: int) -> npt.NDArray[Kind]:
    wrong = found.ndim != dimensions or len(found) != images
    if wrong or not np.isfinite(found).all():
        shape = "x".join(map(str, found.shape))
        short = f"gave {shape} values for {images} images" if wrong else "gave values that are not finite"
        raise MetricError(metric.name, short, "mend the metric, or leave it out")
    return found

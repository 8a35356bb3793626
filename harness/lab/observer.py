"""What looks at a lab's images: the judge, the other metrics, and the test for collapsed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from torch import Tensor

from harness.lab.layer_comparison import judge_layers
from harness.lab.observation import JudgedLayers, Observation, to_bytes
from harness.metrics.judge import OpenClipJudge
from harness.metrics.metric_set import MetricSet
from harness.models.sampler import Samples
from harness.results.arrays import Features, Images


@dataclass(frozen=True)
class Observer:
    """Scores and measures images of the lab's prompts."""

    judge: OpenClipJudge
    metrics: MetricSet
    prompts: Sequence[str]

    @cached_property
    def splits(self) -> bool:
        """Whether a prompt is longer than the judge reads at once. Raises PromptError as its ``splits`` does."""
        return self.judge.splits(self.prompts)

    def observe(self, samples: Samples, texts: Sequence[str] | None = None) -> Observation:
        """Score and measure images of all prompts, or of those of ``texts``. A collapsed image scores like grey."""
        images, collapsed = to_bytes(samples.images)
        if samples.layers is None:
            return self.of(samples.latents, images, collapsed, self.judge.embed_images(images), texts)
        prompts = self.prompts if texts is None else texts
        judged = [judge_layers(self.judge, *pair) for pair in zip(samples.layers, prompts, strict=True)]
        layers = JudgedLayers(samples.layers, np.stack([each.scores[:-1] for each in judged]))
        features = np.stack([each.features[-1] for each in judged])
        return self.of(samples.latents, images, collapsed, features, prompts, layers)

    def of(
        self,
        latents: Tensor,
        images: Images,
        collapsed: npt.NDArray[np.bool_],
        features: Features,
        texts: Sequence[str] | None = None,
        layers: JudgedLayers | None = None,
    ) -> Observation:
        """As :meth:`observe`, of images whose bytes, features and judged layers are known."""
        prompts = self.prompts if texts is None else texts
        return Observation(
            latents=latents,
            images=images,
            collapsed=collapsed,
            features=features,
            scores=self.judge.score(features, prompts).astype(np.float64),
            least=self.judge.least(features, prompts).astype(np.float64) if self.splits else None,
            extra=self.metrics.read(images, prompts),
            layers=layers,
        )

"""The control's images, made once for each seed, or taken from a cache with the embeddings of the prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from harness.lab.cache import Cache
from harness.lab.observation import JudgedLayers, Observation
from harness.lab.observer import Observer
from harness.models.sampler import Sampler
from harness.results.fingerprint import Fingerprint

_EMBEDDINGS = "embeddings"
_LAYERS, _SCORES = "layers", "layer_scores"  # of images that are composites


@dataclass
class ControlImages:
    """The control's images by seed. ``cache`` is what keeps them for other runs, None to keep nothing.

    Images are taken from the cache only where it is ``trusted``: a run that tests the control makes them, and keeps
    what it made. ``parks_encoders`` says that the text encoders leave the GPU once the prompts are encoded.
    """

    sampler: Sampler
    prompts: Sequence[str]
    observer: Observer
    fingerprint: Fingerprint
    cache: Cache | None = None
    trusted: bool = True
    parks_encoders: bool = False
    _seeds: dict[int, Observation] = field(default_factory=dict[int, Observation])
    _encoded: bool = False

    def of(self, seed: int) -> Observation:
        """The images of a seed, one for each prompt."""
        if seed not in self._seeds:
            self._seeds[seed] = self._kept(seed) or self._new(seed)
        return self._seeds[seed]

    def encode_prompts(self) -> None:
        """Encode all prompts together, or take their embeddings from the cache.

        All of them whoever asks first: an embedding's last bits depend on the batch that it was computed in.
        """
        if self._encoded:
            return
        self._encoded = True
        if self.cache is None:
            self.sampler.encode(self.prompts)
        elif (kept := self.cache.load(_EMBEDDINGS, self.fingerprint)) is not None:
            self.sampler.take_conditions(self.prompts, kept)
        else:
            self.cache.save(_EMBEDDINGS, self.fingerprint, self.sampler.all_conditions(self.prompts))
        if self.parks_encoders:
            self.sampler.park_encoders()

    def _kept(self, seed: int) -> Observation | None:
        if self.cache is None or not self.trusted:
            return None
        kept = self.cache.load(_name(seed), self.fingerprint)
        if kept is None:
            return None
        collapsed = kept["collapsed"].numpy().astype(np.bool_)
        layers = JudgedLayers(kept[_LAYERS], kept[_SCORES].numpy()) if _LAYERS in kept else None
        features = kept["features"].numpy()
        return self.observer.of(kept["latents"], kept["images"].numpy(), collapsed, features, layers=layers)

    def _new(self, seed: int) -> Observation:
        self.encode_prompts()
        observed = self.observer.observe(self.sampler.sample(self.prompts, seed))
        if self.cache is not None:
            tensors = {
                "images": torch.from_numpy(observed.images),
                "collapsed": torch.from_numpy(observed.collapsed.astype(np.uint8)),
                "features": torch.from_numpy(observed.features),
            }
            if (layers := observed.layers) is not None:
                tensors |= {_LAYERS: layers.layers, _SCORES: torch.from_numpy(layers.scores)}
            self.cache.save(_name(seed), self.fingerprint, {**tensors, "latents": observed.latents})
        return observed


def _name(seed: int) -> str:
    """What the cache calls the images of a seed."""
    return f"control of seed {seed}"

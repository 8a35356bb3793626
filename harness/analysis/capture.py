"""The layers' states on a model's own sampling trajectory, reduced to running sums while it samples.

Memory of FLUX.1 at 1024 x 1024 (19 double + 38 single blocks, 4,096 image + 512 text tokens, 3,072 wide, bf16), beside
a group-offloaded model on a 24 GB card (a test counts it). One state of all tokens is 4,608 x 3,072 x 2 bytes = 28.3
MB. The double stack has 20 states, the single one 39; a stack's are let go when its last block has been measured, so
that 39 x 28.3 MB = 1.10 GB are held at the most, for each prompt of the batch (under guidance the negative half is
never copied). Three copies of a chunk of 67 MB and the 20 MB of CKA's kernels make 0.22 GB. The sums of both stacks and
both streams, with 10 bins and 200 draws, are 7.5 MB of main memory. So capture adds 1.33 GB to what the forward needs,
whatever the number of prompts and steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from harness.analysis.hidden_states import Clock, States, clock, content, watch_states
from harness.analysis.profile import REDUCTIONS, SETTINGS, STREAMS, Profile
from harness.analysis.similarity import StreamSums, measure, weights
from harness.errors import OptionError, PromptError
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.environment import device_key, versions
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.results.arrays import Array
from harness.spelling import did_you_mean

DRAWS = 200  # of the bootstrap
BINS = 10  # of the noise level, where there are more steps than that

# Called once a sample with its noise level and the angular distances of its image and of its text stream, those of
# the stacks one after the other in the order in which they run.
Sink = Callable[[float, Array, Array], None]


class Collector:
    """The running sums of a model's streams; their size doesn't grow with the number of samples.

    ``edges`` (B + 1,) cut the noise level 0..1, and are set before anything is added. Angles go to ``sink`` reduced
    over tokens by ``reduction``: ``mean`` over those that count, or ``last``, the very last one's. Raises OptionError
    for another reduction.
    """

    edges: Array

    def __init__(self, *, draws: int = DRAWS, sink: Sink | None = None, reduction: str = REDUCTIONS[0]) -> None:
        if reduction not in REDUCTIONS:
            raise OptionError(
                f"unknown reduction {reduction!r}{did_you_mean(reduction, REDUCTIONS)} of tokens; there are "
                f"{', '.join(REDUCTIONS)}"
            )
        self.draws, self._sink, self._last = draws, sink, reduction == "last"
        self._sums: dict[tuple[str, str], StreamSums] = {}

    def where(self, level: float) -> int:
        """The bin of a noise level; an edge belongs to the bin above it, 1 to the last."""
        bins = len(self.edges) - 1
        return int(np.clip(np.searchsorted(self.edges, level, side="right") - 1, 0, bins - 1))

    def add(
        self, level: float, drawn: Array, stack: str, name: str, states: Sequence[Tensor], kept: Tensor | None
    ) -> Array:
        """Add D states (tokens, width) of one sample of one stream; its D - 1 angles, for :meth:`tell`.

        ``drawn`` are the prompt's :func:`~harness.analysis.similarity.weights`, ``kept`` the tokens that count
        (None: all).
        """
        key = (stack, name)
        if key not in self._sums:
            self._sums[key] = StreamSums(stack, name, len(states), len(self.edges) - 1, self.draws)
        sample = measure(states, kept)
        self._sums[key].add(sample, self.where(level), drawn)
        return sample.angular_last if self._last else sample.angular

    def tell(self, level: float, image: Sequence[Array], text: Sequence[Array]) -> None:
        """Pass one sample's angles to the sink, those of all stacks one after the other."""
        if self._sink is not None:
            self._sink(level, np.concatenate(image), np.concatenate(text))

    def profile(self, checkpoint: Checkpoint, setting: str, prompts: Sequence[str], sampler: Sampler) -> Profile:
        """The profile of every sample added so far; ``prompts`` are those that the samples are of."""
        settings, model = sampler.settings, unwrap_compiled(sampler.transformer)
        made_with = {
            **versions(),
            "device": device_key(torch.device(sampler.device_type)),
            "dtype": settings.dtype,
            "steps": str(settings.steps),
            "guidance": str(settings.guidance),
        }
        streams = tuple(sums.stream() for sums in self._sums.values())
        lengths = {stack: len(blocks_at(model, attribute)) for stack, attribute in stacks(model).items()}
        return Profile(checkpoint.name, setting, len(set(prompts)), self.edges, lengths, streams, made_with)


class _Batch:
    """Watches the forwards of some prompts, and adds each of them to a collector."""

    def __init__(
        self, sampler: Sampler, collector: Collector, prompts: Sequence[str], level: Callable[[float], float]
    ) -> None:
        tokens = content(sampler, prompts)
        self.text = tokens.shape[1]
        self._collector, self._to_level = collector, level
        self._kept = [row.nonzero().flatten() for row in tokens]
        self._drawn = [weights(prompt, collector.draws) for prompt in prompts]
        self._level = 0.0
        self._angles: dict[str, list[list[Array]]] = {}

    def begin(self, timestep: float) -> None:
        self._level = self._to_level(timestep)
        self._angles = {name: [[] for _ in self._kept] for name in STREAMS}

    def take(self, stack: str, states: States) -> None:
        for name in STREAMS:
            for row, kept in enumerate(self._kept):
                own = [state[row] for state in states[name]]
                tokens = kept if name == "text" else None
                angles = self._collector.add(self._level, self._drawn[row], stack, name, own, tokens)
                self._angles[name][row].append(angles)

    def end(self) -> None:
        for image, text in zip(self._angles["image"], self._angles["text"], strict=True):
            self._collector.tell(self._level, image, text)


@contextmanager
def collecting(
    sampler: Sampler, collector: Collector, prompts: Sequence[str], level: Callable[[float], float]
) -> Iterator[None]:
    """Add every forward of ``prompts`` (one image each) to a collector, for the length of a ``with`` block.

    ``level`` makes the noise level of the model's timestep argument. Raises SurgeryError as
    :func:`harness.analysis.hidden_states.watch_states`.
    """
    batch = _Batch(sampler, collector, prompts, level)
    with watch_states(sampler.transformer, len(prompts), batch.text, batch):
        yield


@contextmanager
def without_caching_prompts(sampler: Sampler) -> Iterator[None]:
    """Drop the prompt embeddings that the sampler caches inside a ``with`` block, so that memory doesn't add up."""
    cached = sampler._conditions  # noqa: SLF001 - a sampler keeps every prompt that it has ever encoded
    before = set(cached)
    try:
        yield
    finally:
        for prompt in set(cached) - before:
            del cached[prompt]


def batches(sampler: Sampler, count: int) -> Iterator[slice]:
    """Slices of ``count`` prompts, as the sampler makes images of them."""
    for start in range(0, count, sampler.batch):
        yield slice(start, start + sampler.batch)


class _Schedule:
    """The noise level of a timestep on a trajectory; the first one cuts the collector's bins."""

    def __init__(self, sampler: Sampler, collector: Collector, bins: int | None) -> None:
        self._sampler, self._collector, self._bins = sampler, collector, bins
        self._clock: Clock | None = None

    def __call__(self, timestep: float) -> float:
        if self._clock is None:
            # Only now, inside the pipeline's call, does its scheduler know the steps.
            self._clock = clock(self._sampler.pipeline, timestep)
            self._collector.edges = cut(self._clock.levels, self._bins)
        return self._clock.level(timestep)


def cut(levels: Sequence[float], bins: int | None) -> Array:
    """(B + 1,) edges: ``bins`` uniform ones; or one around each of up to ten different levels, else ten uniform ones.

    Raises OptionError for fewer bins than one.
    """
    if bins is not None and bins < 1:
        raise OptionError(f"{bins} bins of the noise level; at least one is needed")
    steps = np.unique(np.asarray(levels, dtype=np.float64))
    if bins is None and len(steps) <= BINS:
        return np.concatenate([[0.0], (steps[1:] + steps[:-1]) / 2, [1.0]])
    return np.linspace(0.0, 1.0, (bins or BINS) + 1)


def on_trajectory(
    sampler: Sampler,
    checkpoint: Checkpoint,
    prompts: Sequence[str],
    *,
    bins: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    sink: Sink | None = None,
    reduction: str = REDUCTIONS[0],
) -> Profile:
    """The layers' states while the pipeline samples, through its own call.

    One image a prompt, from the latents of ``seed``. ``bins`` are those of the noise level: by default one a step, or
    ten uniform ones for more steps than that. ``draws`` of the bootstrap over prompts. Each sample's angular distances
    go to ``sink`` while it runs, reduced over tokens by ``reduction``.
    Raises PromptError without a prompt, OptionError for bins or a reduction that aren't there, SurgeryError where
    states can't be captured, CheckpointError where the scheduler has no noise levels.
    """
    if not prompts:
        raise PromptError("the layers' states can't be captured without a prompt; give at least one")
    cut([1.0], bins)  # raises before anything runs
    collector = Collector(draws=draws, sink=sink, reduction=reduction)
    level = _Schedule(sampler, collector, bins)
    for part in batches(sampler, len(prompts)):
        with without_caching_prompts(sampler), collecting(sampler, collector, prompts[part], level):
            sampler.sample(prompts[part], seed)
    return collector.profile(checkpoint, SETTINGS[0], prompts, sampler)

"""Modifiers that change a range of blocks from inside, or put a fitted map in its place: :mod:`harness.grains`.

What has to be calibrated is calibrated on the control's own run of the lab's first prompts, with a seed that no variant
is measured on.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from harness.ablation.paired_words import paired_prompts
from harness.ablation.ranges import Span
from harness.errors import SurgeryError
from harness.grains.attention_edges import cut_edges, parse_edges
from harness.grains.block_range import Stream
from harness.grains.calibration import Forwards, record_forwards, with_text_of
from harness.grains.calls import Calls
from harness.grains.freeze_norm import calibrate_norms, freeze_norms
from harness.grains.neuron_clamp import (
    ScoredNeuron,
    chosen,
    clamp_neurons,
    column_norms,
    mean_activations,
    score_neurons,
)
from harness.grains.surrogates import SurrogateKind, fit_surrogate, surrogate
from harness.grains.token_exit import Exit, token_exit
from harness.modifiers.base import Counts, ModifierRun, Target, refuse

CALIBRATION_PROMPTS = 16


class _GrainRun(ModifierRun):
    """A context manager of :mod:`harness.grains`, entered and left between denoising steps."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._open: AbstractContextManager[Calls] | None = None
        self._calls: Calls | None = None
        self._counts: Counter[int] = Counter()

    @property
    def span(self) -> Span:
        """The range of blocks."""
        span = self.target.placed.span
        assert span is not None, "a modifier of a range has one"
        return span

    @abstractmethod
    def context(self) -> AbstractContextManager[Calls]:
        """The change, for the steps in which it holds."""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Ready to be entered by :meth:`before_step`; left at the end, whatever happens."""
        try:
            yield
        except BaseException as error:
            self._leave(error)
            raise
        self._leave()

    def before_step(self, step: int) -> None:
        """Enter or leave, by the window."""
        if not self.target.holds(step):
            self._leave()
        elif self._open is None:
            self._open = self.context()
            self._calls = self._open.__enter__()

    def _leave(self, error: BaseException | None = None) -> None:
        context, self._open = self._open, None
        if context is not None and self._calls is not None:
            self._counts.update(self._calls.counts)
            context.__exit__(None if error is None else type(error), error, None)

    def check(self, counts: Counts) -> None:  # noqa: ARG002 - the blocks that were changed are counted here
        """Some block was changed."""
        if not self._counts:
            raise SurgeryError(f"{self.target.placed}: no block of the range was changed")

    def _forwards(self) -> Forwards:
        """Those of the control's own run on the first prompts."""
        prompts = tuple(self.target.prompts[:CALIBRATION_PROMPTS])
        return self.target.calibrations.of(("forwards", prompts), lambda: self._recorded(prompts))

    def _recorded(self, prompts: tuple[str, ...]) -> Forwards:
        sampler = self.target.sampler
        # A seed behind the control's own: no image that is measured is calibrated on.
        return record_forwards(sampler.transformer, lambda: sampler.sample(prompts, sampler.settings.seeds))


class CutEdges(_GrainRun):
    """Attention edges cut in the range."""

    def context(self) -> AbstractContextManager[Calls]:
        """The edges of the choice."""
        placed = self.target.placed
        return cut_edges(self.target.sampler.transformer, placed.stack, self.span, parse_edges(placed.choice))


class FreezeNorm(_GrainRun):
    """Norms of the range divide by constants; ``b`` bins of the timestep (0: each step), with ``q`` 1 also q and k."""

    def calibrate(self) -> None:
        """The constants, block by block."""
        placed, values = self.target.placed, self.target.parameters
        self._frozen = self.target.calibrations.of(
            ("freeze-norm", placed.stack, self.span, values["b"], values["q"]),
            lambda: calibrate_norms(
                self.target.sampler.transformer,
                placed.stack,
                self.span,
                self._forwards(),
                bins=values["b"] or None,
                qk=bool(values["q"]),
            ),
        )

    def context(self) -> AbstractContextManager[Calls]:
        """With the constants."""
        return freeze_norms(self.target.sampler.transformer, self._frozen)


class TokenExit(_GrainRun):
    """A stream leaves after the block."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        if len(self.span) > 1:
            raise refuse(target.placed, "a stream leaves after one block; write that block as its range (L03)")

    def context(self) -> AbstractContextManager[Calls]:
        """From the next block to the last of the model."""
        stream, how = self.target.placed.choice.split("-")
        placed = self.target.placed
        return token_exit(self.target.sampler.transformer, placed.stack, self.span.last, Stream(stream), Exit(how))


class ClampNeurons(_GrainRun):
    """The ``n`` neurons of the range that a word switches on most surely, held at their mean without it or at zero."""

    def calibrate(self) -> None:
        """The neurons, from pairs of the lab's own prompts."""
        placed = self.target.placed
        scored = self.target.calibrations.of(("neurons", placed.stack, self.span, placed.choice), self._score)
        neurons = chosen(scored, self.target.parameters["n"])
        at_mean = self.target.parameters["m"]
        self._values = {one.neuron: one.without if at_mean else 0.0 for one in neurons}

    def context(self) -> AbstractContextManager[Calls]:
        """With the chosen neurons."""
        return clamp_neurons(
            self.target.sampler.transformer, self.target.placed.stack, list(self._values), self._values
        )

    def _score(self) -> list[ScoredNeuron]:
        having, others = paired_prompts(self.target.placed.choice, self.target.prompts)
        batch, placed = self.target.sampler.batch, self.target.placed
        means: tuple[dict[tuple[int, str], list[Tensor]], ...] = ({}, {})
        for start in range(0, len(having), batch):
            forwards = self._recorded(tuple(having[start : start + batch]))
            swapped = self._recorded(tuple(others[start : start + batch]))
            rows = len(having[start : start + batch])
            for total, run in zip(means, (forwards, with_text_of(forwards, swapped)), strict=True):
                own = mean_activations(self.target.sampler.transformer, placed.stack, self.span, run, rows)
                for place, values in own.items():
                    total.setdefault(place, []).append(values)
        having_means, other_means = ({place: torch.cat(parts) for place, parts in total.items()} for total in means)
        norms = column_norms(self.target.sampler.transformer, placed.stack, self.span)
        return score_neurons(having_means, other_means, norms)


class SurrogateMap(_GrainRun):
    """A fitted map in the place of the range, for each of ``b`` bins of the timestep."""

    def calibrate(self) -> None:
        """The map."""
        placed = self.target.placed
        self._fitted = self.target.calibrations.of(
            ("surrogate", placed.stack, self.span, placed.choice, self.target.parameters["b"]),
            lambda: fit_surrogate(
                self.target.sampler.transformer,
                placed.stack,
                self.span,
                self._forwards(),
                SurrogateKind(placed.choice),
                bins=self.target.parameters["b"],
            ),
        )

    def context(self) -> AbstractContextManager[Calls]:
        """With the map."""
        return surrogate(self.target.sampler.transformer, self._fitted)

    def idle(self, step: int) -> frozenset[int]:
        """The whole range, in the steps in which it holds."""
        return frozenset(self.span.blocks) if self.target.holds(step) else frozenset()

"""What a sweep will cost, by arithmetic alone: images, forwards, blocks and disk, before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

from harness.ablation.case import Case
from harness.ablation.modifiers import block_share
from harness.models import prompts as prompt_files
from harness.models.spec import Family, Settings

# Bytes in a run folder. A record's values are 17 a prompt without extra metrics, 7.5 bytes each; a strip and its
# line in the contact sheet are 8 tiles of 80 x 80 pixels each, before compression. The picture of a variant's prompts
# (harness.report.prompt_picture) is five of them beside the control's, of at most 256 x 256 pixels, and captions.
_RECORD_BYTES = 4_000
_VALUE_BYTES = 130
_STRIP_BYTES = 2 * 8 * 80 * 80 * 3
# A screening's usual cost in control images, and what it takes.
_SCREENING = 30
_LEAST_PROMPTS, _MOST_PROMPTS, _MOST_STEPS = 4, 8, 5
# The images of variants that an adaptive run needs: the median over runs of the three bundled models, replayed in 20
# orders of the prompts each (python -m harness.report.adaptive_page).
ADAPTIVE_SHARE = 0.22
_PROMPT_TILES, _LARGEST_TILE, _CAPTION_BYTES = 5 * 2, 256, 60_000


@dataclass(frozen=True)
class Cost:
    """One sweep over one checkpoint.

    ``seeds`` are the control's, which is run on each of them; a variant is run on the first ``variant_seeds``.
    ``batch`` is the number of images that the checkpoint puts into one forward. ``work`` is the blocks that a variant
    runs, of all stacks, over those of the control, as the mean over the cases.
    """

    cases: int
    prompts: int
    seeds: int
    steps: int
    batch: int
    guided: bool
    work: float
    variant_seeds: int = 1
    height: int = _LARGEST_TILE  # of an image, in pixels
    width: int = _LARGEST_TILE

    @property
    def images(self) -> int:
        """Images of all variants."""
        return self.cases * self.variant_seeds * self.prompts

    @property
    def control_images(self) -> int:
        """Images of the control."""
        return self.seeds * self.prompts

    @property
    def together(self) -> int:
        """Images in a full forward; under batched guidance it holds each of them twice."""
        return min(self.batch, self.prompts)

    @property
    def forwards(self) -> int:
        """Forwards of the transformer, the control's included."""
        if not self.prompts:
            return 0
        return (self.cases * self.variant_seeds + self.seeds) * self.steps * math.ceil(self.prompts / self.batch)

    @property
    def controls(self) -> float:
        """The work of all forwards, in units of one pass of the control over all prompts."""
        return self.seeds + self.cases * self.variant_seeds * self.work

    @property
    def exhaustive(self) -> float:
        """The work of all images, the control's included, in control images."""
        return self.controls * self.prompts

    @property
    def adaptive(self) -> float:
        """What an adaptive run is expected to take of that: the control, and :data:`ADAPTIVE_SHARE` of the rest."""
        return self.control_images + ADAPTIVE_SHARE * (self.exhaustive - self.control_images)

    @property
    def disk(self) -> int:
        """Bytes at most in the run folder where nothing is red: journal, pictures, contact sheet.

        A red variant's picture has tiles of up to 512 x 512 pixels and takes up to four times as much as another's.
        """
        pixels = min(self.height, _LARGEST_TILE) * min(self.width, _LARGEST_TILE)
        picture = _STRIP_BYTES + _PROMPT_TILES * 3 * pixels + _CAPTION_BYTES
        variants = self.cases * (_RECORD_BYTES + picture + _VALUE_BYTES * self.prompts * self.variant_seeds)
        return variants + _RECORD_BYTES + _STRIP_BYTES + _VALUE_BYTES * self.prompts

    @property
    def half_width(self) -> float | None:
        """Half of a harm's 95 % interval, in sd: what can be seen of a variant as far from the control as another seed.

        The scores of two seeds of a prompt differ by sqrt(2) of the unit of harm, and the mean over prompts by as much
        over the root of their number, times Student's t. A variant that changes less is known better, one that breaks
        some prompts worse. None for fewer than two prompts.
        """
        if self.prompts < 2:
            return None
        return _student(0.975, self.prompts - 1) * math.sqrt(2.0 / (self.prompts * self.variant_seeds))

    @property
    def told_apart(self) -> float | None:
        """The least difference between two of the variants, in sd, that is sure in four of five runs; None without two.

        As :attr:`half_width` for a difference of two harms, at 95 % over all pairs of variants (Bonferroni).
        """
        pairs = math.comb(self.cases, 2)
        if self.prompts < 2 or not pairs:
            return None
        sure = _student(1.0 - 0.025 / pairs, self.prompts - 1)
        return (sure + 0.8416) * math.sqrt(2.0 / (self.prompts * self.variant_seeds))

    def seconds(self, batch_seconds: float, forward_seconds: float) -> float:
        """Time for all images, from one really timed batch of the control and one forward of it.

        What a batch takes beside its forwards (encoding is done once, decoding is not) is taken as the same for every
        variant, and a forward's time as proportional to the blocks that it runs.
        """
        batches = self.prompts / max(1, self.together)
        rest = max(0.0, batch_seconds - self.steps * forward_seconds)
        return batches * (
            (self.seeds + self.cases * self.variant_seeds) * rest + self.controls * self.steps * forward_seconds
        )


def cost(
    stacks: Mapping[str, int],
    settings: Settings,
    family: Family,
    cases: Sequence[Case],
    prompts: int,
    steps: int = 0,
    variant_seeds: int = 1,
) -> Cost:
    """The cost of measuring ``cases`` on ``prompts`` prompts; ``steps`` replaces the settings' unless it is 0."""
    return Cost(
        cases=len(cases),
        prompts=prompts,
        seeds=settings.seeds,
        steps=steps or settings.steps,
        batch=settings.batch,
        guided=family.guided(settings),
        work=sum(share(case, stacks) for case in cases) / len(cases) if cases else 1.0,
        variant_seeds=variant_seeds,
        height=settings.height,
        width=settings.width,
    )


def screening_size(forwards: float, steps: int) -> tuple[int, int]:
    """How many prompts and how many of the ``steps`` a screening of ``forwards`` a prompt and step takes.

    As many pairs of both as some 30 control images allow, of 4 to 8 prompts and 1 to 5 steps, and of equal ones those
    with more prompts; the least of both where even that costs more.
    """
    pairs = [(p, s) for p in range(_LEAST_PROMPTS, _MOST_PROMPTS + 1) for s in range(1, min(_MOST_STEPS, steps) + 1)]
    within = [(p, s) for p, s in pairs if screening_cost(p, s, forwards, steps) <= _SCREENING]
    return max(within, key=lambda pair: (pair[0] * pair[1], pair[0]), default=(_LEAST_PROMPTS, 1))


def screening_cost(prompts: int, taken: int, forwards: float, steps: int) -> float:
    """In control images: the control's own sampling, and ``forwards`` at each of the steps that are taken."""
    return prompts * (1 + taken * forwards / steps)


def single_skips_cost(stacks: Mapping[str, int], steps: int) -> float:
    """What screening all single skips costs, in control images: they share the blocks before the one left out."""
    forwards = (sum(stacks.values()) + 1) / 2
    return screening_cost(*screening_size(forwards, steps), forwards, steps)


def _student(probability: float, freedom: int) -> float:
    """Quantile of Student's t, which scipy has and a header must not wait for.

    Exact for one and two degrees of freedom, else as far as the fourth power of 1/freedom (Abramowitz and Stegun
    26.7.5): within 1 % of scipy's from 7 degrees on for what is asked here.
    """
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    if freedom == 2:
        return (2 * probability - 1) * math.sqrt(2 / (4 * probability * (1 - probability)))
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def prompt_count(own: Path | None, replacement: Path | None = None) -> int:
    """How many prompts a run has: of ``replacement``, else the checkpoint's ``own`` file, else the default set.

    Raises PromptError.
    """
    return len(prompt_files.read(replacement or own or prompt_files.DEFAULT))


def share(case: Case, stacks: Mapping[str, int]) -> float:
    """The blocks that a variant runs in all denoising steps, of all stacks, over those of the control.

    Modifiers whose share only counting tells are left out. A modifier in a range of the plan's own stack is taken to
    save its share of what the plan leaves.
    """
    saved = case.saving * case.length / sum(stacks.values())
    if any(modifier.span is not None and modifier.stack == case.stack for modifier in case.modifiers):
        return (1.0 - saved) * block_share(case.modifiers, stacks, case.steps)
    return block_share(case.modifiers, stacks, case.steps, saved=saved)

"""Screening: a ranking of plans by velocity error, before any image of a variant is made.

The velocity error of a plan on the control's own trajectory needs no image, no judge and no decoding, and plans share
the blocks that they begin with (:mod:`harness.surgery.prefix_walk`): all single skips of L blocks are (L + 1) / 2
forwards a prompt and step. It ranks; it measures no harm: what it puts last is worth no images, and what it puts first
is to be measured on images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.ablation.plan import Plan
from harness.ablation.removals import plans_text
from harness.analysis.predictors import Correlation, spearman
from harness.analysis.velocity import plan_errors
from harness.lab.cost import screening_cost, screening_size
from harness.models.sampler import Sampler
from harness.results.arrays import Array
from harness.results.statistics import Interval, mean_interval
from harness.surgery.prefix_walk import block_runs

_LEAST_RELIABLE = 0.8  # the rank correlation between two halves of the prompts
_LEAST_TRUSTED = 0.5  # with the harms that are stored
_LARGE = 0.5  # a median relative error above which hardly anything of the velocity is left


@dataclass(frozen=True)
class ScreenedPlan:
    """A plan by stack, its relative velocity error as the mean over prompts and steps, and its share of the blocks."""

    plan: Mapping[str, Plan]
    error: Interval
    share: float

    @property
    def text(self) -> str:
        """``double: 0 2-4; single: 0-8``."""
        return plans_text(self.plan)


@dataclass(frozen=True)
class Screening:
    """Plans by their velocity error, the smallest first, and what that is worth.

    ``cost`` is in control images: the control's own sampling, and the blocks that ran beside it. ``reliability`` is
    the rank correlation between the errors on every other prompt and on the rest; None with fewer than 4 prompts or
    plans.
    """

    plans: tuple[ScreenedPlan, ...]
    prompts: int
    steps: tuple[int, ...]
    cost: float
    reliability: Correlation | None


def evenly_spaced(count: int, of: int) -> tuple[int, ...]:
    """``count`` of the indices 0..of - 1 at equal distances; all of them where there are no more."""
    count = min(count, of)
    return tuple(int((i + 0.5) * of / count) for i in range(count))


def affordable(lengths: Mapping[str, int], plans: Sequence[Mapping[str, Plan]], steps: int) -> tuple[int, int]:
    """How many prompts and how many of the ``steps`` a screening of these plans takes, for some 30 control images.

    As many pairs of both as that allows, of 4 to 8 prompts and 1 to 5 steps, and of equal ones those with more prompts.
    """
    return screening_size(block_runs(lengths, [{}, *plans]) / sum(lengths.values()), steps)


def cost_of(
    lengths: Mapping[str, int], plans: Sequence[Mapping[str, Plan]], prompts: int, taken: int, steps: int
) -> float:
    """What screening these plans costs on so many prompts and steps of ``steps``, in control images."""
    return screening_cost(prompts, taken, block_runs(lengths, [{}, *plans]) / sum(lengths.values()), steps)


def screen(
    sampler: Sampler,
    lengths: Mapping[str, int],
    prompts: Sequence[str],
    plans: Sequence[Mapping[str, Plan]],
    *,
    steps: Sequence[int],
    seed: int = 0,
) -> Screening:
    """Rank plans by their velocity error on some prompts and steps of the control's trajectory.

    ``lengths`` are the model's stacks in order. Raises what :func:`~harness.analysis.velocity.plan_errors` does.
    """
    errors = plan_errors(sampler, prompts, plans, steps=steps, seed=seed).error.mean(axis=2)
    blocks = sum(lengths.values())
    screened = [
        ScreenedPlan(plan, _above_zero(mean_interval(error)), _runs(plan, lengths) / blocks)
        for plan, error in zip(plans, errors, strict=True)
    ]
    return Screening(
        plans=tuple(sorted(screened, key=lambda each: each.error.value)),
        prompts=len(prompts),
        steps=tuple(steps),
        cost=cost_of(lengths, plans, len(prompts), len(steps), sampler.settings.steps),
        reliability=_reliability(errors),
    )


def _above_zero(interval: Interval) -> Interval:
    """As an interval of what can't be negative."""
    return replace(interval, low=max(interval.low, 0.0))


def _runs(plan: Mapping[str, Plan], lengths: Mapping[str, int]) -> float:
    return sum(plan[stack].work if stack in plan else length for stack, length in lengths.items())


def _reliability(errors: Array) -> Correlation | None:
    if min(errors.shape) < 4:
        return None
    return spearman(errors[:, ::2].mean(axis=1), errors[:, 1::2].mean(axis=1))


def against_harm(screening: Screening, harms: Mapping[str, float]) -> Correlation | None:
    """The rank correlation of the errors with harms that are stored, by :attr:`ScreenedPlan.text`; None below 4."""
    both = [(each.error.value, harms[each.text]) for each in screening.plans if each.text in harms]
    if len(both) < 4:
        return None
    errors, values = zip(*both, strict=True)
    return spearman(np.array(errors), np.array(values))


def doubts(screening: Screening, agreement: Correlation | None) -> list[str]:
    """Why the ranking can't be trusted, a sentence each; none where nothing speaks against it.

    ``agreement`` is the correlation with stored harms.
    """
    reasons: list[str] = []
    if screening.reliability is None:
        reasons.append("with fewer than 4 prompts or plans nothing says how much of the order is chance")
    elif not screening.reliability.rho.value >= _LEAST_RELIABLE:
        reasons.append(
            f"the order on every other prompt agrees with that on the rest by {screening.reliability}, below "
            f"{_LEAST_RELIABLE}: take more prompts or steps"
        )
    if agreement is None:
        reasons.append("no harms are stored to compare with: that a small error is a small harm is not shown here")
    elif not agreement.rho.value >= _LEAST_TRUSTED:
        reasons.append(f"it agrees with the stored harms by {agreement} only, below {_LEAST_TRUSTED}")
    if screening.plans and np.median([each.error.value for each in screening.plans]) > _LARGE:
        reasons.append(
            f"half of the plans have an error above {_LARGE}, where little of the velocity is left to compare"
        )
    return reasons

"""The control of a lab: the un-ablated model's images, and the scales that variants are measured in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from harness.errors import CheckpointError
from harness.lab.observation import Observation, distances
from harness.metrics import distribution
from harness.results.arrays import Values
from harness.results.rounding import rounded
from harness.results.statistics import Interval, pooled_seed_sd, seed_sd_interval

_RESEED = "reseed_"
_DISTANCES = ("latent", "mse", "ssim", "image")


@dataclass(frozen=True)
class Control:
    """The un-ablated model's images of P prompts at S seeds, and the scales that variants are measured in.

    ``seeds`` are the images of each seed. ``reseed`` are mean distances between two seeds of one prompt, by the name of
    the distance; ``fid_null`` is the mean FID of one seed's images against another's, None with too few prompts;
    ``unit`` is the standard deviation of the score between seeds of one prompt, in score points, with its interval
    over prompts; ``extra`` are the extra metrics' figures. Where these are ``stored`` ones, the images are of the seeds
    alone that variants are measured on.
    """

    seeds: tuple[Observation, ...]
    reseed: Mapping[str, float]
    fid_null: float | None
    unit: Interval
    extra: Mapping[str, float]
    stored: bool = False

    @property
    def scores(self) -> Values:
        """The score of each prompt at each seed, (P, S)."""
        return np.stack([s.scores for s in self.seeds], axis=1)

    @property
    def seed_sd(self) -> float:
        """The unit of harm, in score points."""
        return self.unit.value

    @cached_property
    def latents_sha256(self) -> str:
        """Hash of the first seed's latents, which variants start from, too."""
        return self.seeds[0].latents_sha256

    def summary(self) -> dict[str, float]:
        """The control's figures as a baseline stores them; where they are stored ones, those alone that are not."""
        out = {"first_score": float(self.seeds[0].scores.mean())}
        if self.stored:
            return out | {name: float(values.mean()) for name, values in self.seeds[0].extra.grades.items()}
        out |= {
            "score": float(self.scores.mean()),
            "seed_sd": self.seed_sd,
            "seed_sd_low": self.unit.low,
            "seed_sd_high": self.unit.high,
            "collapsed": float(sum(s.collapsed.sum() for s in self.seeds)),
            **{f"{_RESEED}{name}": value for name, value in self.reseed.items()},
        }
        if self.fid_null is not None:
            out["fid_null"] = self.fid_null
        return out | dict(self.extra)


def control_of(checkpoint: str, seeds: Sequence[Observation], extra: Mapping[str, float]) -> Control:
    """The control from its images of the same prompts at two seeds or more; ``extra`` are the extra metrics' figures.

    Raises CheckpointError where its scores give no unit of harm.
    """
    scores = np.stack([s.scores for s in seeds], axis=1)
    check_finite(checkpoint, scores)
    check_spread(checkpoint, scores, sum(int(s.collapsed.sum()) for s in seeds))
    gaps: dict[str, list[float]] = {}
    for a, b in combinations(seeds, 2):
        for name, values in distances(a, b).items():
            gaps.setdefault(name, []).append(float(values.mean()))
    null = None
    if len(scores) >= distribution.LEAST:
        null = float(np.mean([distribution.fid(a.features, b.features) for a, b in combinations(seeds, 2)]))
    return Control(
        seeds=tuple(seeds),
        reseed={name: float(np.mean(gaps[name])) for name in _DISTANCES},
        fid_null=null,
        unit=_unit(scores),
        extra=extra,
    )


def _unit(scores: Values) -> Interval:
    """The unit of harm of (P, S) scores, rounded as a baseline stores it: the run that writes one has the same unit."""
    interval = seed_sd_interval(scores)
    return Interval(rounded(pooled_seed_sd(scores)), rounded(interval.low), rounded(interval.high))


def without_sets(control: Control) -> Control:
    """The control without the scales of what compares whole sets of images, for a variant of some prompts only."""
    extra = {name: value for name, value in control.extra.items() if not name.endswith(".fid_null")}
    return replace(control, fid_null=None, extra=extra)


def control_of_stored(checkpoint: str, seeds: Sequence[Observation], figures: Mapping[str, float]) -> Control:
    """The control from its images of the seeds that variants are measured on, and stored ``figures`` of all seeds.

    These are those of :meth:`Control.summary`. Raises CheckpointError where a score is no number.
    """
    check_finite(checkpoint, np.stack([s.scores for s in seeds], axis=1))
    return Control(
        seeds=tuple(seeds),
        reseed={name.removeprefix(_RESEED): value for name, value in figures.items() if name.startswith(_RESEED)},
        fid_null=figures.get("fid_null"),
        unit=Interval(figures["seed_sd"], figures["seed_sd_low"], figures["seed_sd_high"]),
        extra=figures,
        stored=True,
    )


def are_enough(figures: Mapping[str, float], prompts: int) -> bool:
    """Whether stored figures can stand for the control's seeds that are not made."""
    wanted = {"seed_sd", "seed_sd_low", "seed_sd_high", *(f"{_RESEED}{name}" for name in _DISTANCES)}
    if prompts >= distribution.LEAST:
        wanted.add("fid_null")
    return wanted <= set(figures)


def check_finite(checkpoint: str, scores: Values) -> None:
    """Raise CheckpointError where one of the control's scores, (P, S), is no number."""
    for prompt, seed in np.argwhere(~np.isfinite(scores))[:1]:
        broken = int((~np.isfinite(scores)).any(axis=1).sum())
        raise CheckpointError(
            f"the judge's score of the control of {checkpoint!r} is {scores[prompt, seed]} on prompt #{prompt}, "
            f"seed {seed} ({broken} of {len(scores)} prompts): nothing can be measured against that"
        )


def check_spread(checkpoint: str, scores: Values, collapsed: int) -> None:
    """Raise CheckpointError where the control's scores, (P, S), are the same on every seed: there is no unit of harm.

    ``collapsed`` is the number of images that are NaN or of one colour.
    """
    if np.ptp(scores, axis=1).any():
        return
    if collapsed:
        reason = (
            f"{collapsed} of its {scores.size} images collapsed (no numbers, or one colour); look for weights that are "
            "infinite, or try another dtype"
        )
    else:
        reason = "its images don't depend on the seed, or the judge doesn't see them"
    raise CheckpointError(
        f"the judge scores the control of {checkpoint!r} the same on every seed of a prompt, so there is no unit of "
        f"harm: {reason}"
    )

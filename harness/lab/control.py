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
from harness.results.statistics import pooled_seed_sd


@dataclass(frozen=True)
class Control:
    """The un-ablated model's images of P prompts at S seeds, and the scales that variants are measured in.

    ``seeds`` are the images of each seed. ``reseed`` are mean distances between two seeds of one prompt, by the name of
    the distance; ``fid_null`` is the mean FID of one seed's images against another's, None with too few prompts;
    ``seed_sd`` is the standard deviation of the score between seeds of one prompt, in score points; ``extra`` are the
    extra metrics' figures.
    """

    seeds: tuple[Observation, ...]
    reseed: Mapping[str, float]
    fid_null: float | None
    seed_sd: float
    extra: Mapping[str, float]

    @property
    def scores(self) -> Values:
        """The score of each prompt at each seed, (P, S)."""
        return np.stack([s.scores for s in self.seeds], axis=1)

    @cached_property
    def latents_sha256(self) -> str:
        """Hash of the first seed's latents, which variants start from, too."""
        return self.seeds[0].samples.sha256()

    def summary(self) -> dict[str, float]:
        """The control's figures as a baseline stores them."""
        out = {
            "score": float(self.scores.mean()),
            "seed_sd": self.seed_sd,
            "collapsed": float(sum(s.collapsed.sum() for s in self.seeds)),
            **{f"reseed_{name}": value for name, value in self.reseed.items()},
        }
        if self.fid_null is not None:
            out["fid_null"] = self.fid_null
        return out | dict(self.extra)


def control_of(checkpoint: str, seeds: Sequence[Observation], extra: Mapping[str, float]) -> Control:
    """The control from its images of the same prompts at two seeds or more; ``extra`` are the extra metrics' figures.

    Raises CheckpointError where its scores give no unit of harm.
    """
    scores = np.stack([s.scores for s in seeds], axis=1)
    check_scores(checkpoint, scores, sum(int(s.collapsed.sum()) for s in seeds))
    gaps: dict[str, list[float]] = {}
    for a, b in combinations(seeds, 2):
        for name, values in distances(a, b).items():
            gaps.setdefault(name, []).append(float(values.mean()))
    null = None
    if len(scores) >= distribution.LEAST:
        null = float(np.mean([distribution.fid(a.features, b.features) for a, b in combinations(seeds, 2)]))
    return Control(
        seeds=tuple(seeds),
        reseed={name: float(np.mean(values)) for name, values in gaps.items() if name != "psnr"},
        fid_null=null,
        # Rounded as a baseline stores it, so that the run that writes one and the next have the same unit.
        seed_sd=rounded(pooled_seed_sd(scores)),
        extra=extra,
    )


def without_sets(control: Control) -> Control:
    """The control without the scales of what compares whole sets of images, for a variant of some prompts only."""
    extra = {name: value for name, value in control.extra.items() if not name.endswith(".fid_null")}
    return replace(control, fid_null=None, extra=extra)


def check_scores(checkpoint: str, scores: Values, collapsed: int) -> None:
    """Raise CheckpointError where the control's scores, (P, S), give no unit of harm.

    ``collapsed`` is the number of images that are NaN or of one colour.
    """
    for prompt, seed in np.argwhere(~np.isfinite(scores))[:1]:
        broken = int((~np.isfinite(scores)).any(axis=1).sum())
        raise CheckpointError(
            f"the judge's score of the control of {checkpoint!r} is {scores[prompt, seed]} on prompt #{prompt}, "
            f"seed {seed} ({broken} of {len(scores)} prompts): nothing can be measured against that"
        )
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

"""Figures of a variant over several seeds, from those of each seed; and whether a control can be measured against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import CheckpointError, HarnessError
from harness.metrics import pairs
from harness.results.arrays import Values

LEAST_SEEDS = 2  # of the control: the unit of harm is the spread between its seeds


class SeedFigures(NamedTuple):
    """What was measured of a variant on one seed, or on several: values of each image, figures of the whole set."""

    values: dict[str, Values]
    summary: dict[str, float]


def combined(seeds: Sequence[SeedFigures]) -> SeedFigures:
    """The figures over all seeds: values prompt-major ((prompt 0, seed 0), (prompt 0, seed 1), ...), figures averaged.

    Collapsed images are counted over all seeds, and PSNR is that of the mean error. FID is averaged, as its size
    depends on the number of images. One seed's figures are returned as they are.
    """
    if len(seeds) == 1:
        return seeds[0]
    values = {name: np.stack([s.values[name] for s in seeds], axis=1).ravel() for name in seeds[0].values}
    summary = {name: float(np.mean([s.summary[name] for s in seeds])) for name in seeds[0].summary}
    summary["collapsed"] = float(values["collapsed"].sum())
    summary["psnr"] = float(pairs.psnr(values["mse"].mean(keepdims=True))[0])
    return SeedFigures(values, summary)


def check_seeds(checkpoint: str, control: int, variant: int) -> None:
    """Raise CheckpointError where the control has too few seeds for a unit of harm, or fewer than a variant is run on.

    ``control`` and ``variant`` are the numbers of seeds of each.
    """
    if control < LEAST_SEEDS:
        raise CheckpointError(
            f'checkpoint {checkpoint!r} has "seeds": {control} in harness.json: harm is measured in the spread of the '
            f"control's score from seed to seed, so it needs {LEAST_SEEDS} or more"
        )
    if not 1 <= variant <= control:
        raise CheckpointError(
            f"variants can't run on {variant} seeds: checkpoint {checkpoint!r} measures its control on {control} "
            '("seeds" in harness.json), and every image of a variant is compared with the control\'s of the same seed'
        )


def check_scores(checkpoint: str, scores: Mapping[int, Values]) -> None:
    """Raise HarnessError where the control's scores give no unit of harm; ``scores`` are (N,) by seed."""
    for seed, values in scores.items():
        broken = np.flatnonzero(~np.isfinite(values))
        if len(broken):
            raise HarnessError(
                f"the judge's score of the control of {checkpoint!r} is {values[broken[0]]} on prompt #{broken[0]}, "
                f"seed {seed} ({len(broken)} of {len(values)} prompts): nothing can be measured against that"
            )
    table = np.stack(list(scores.values()), axis=1)
    if not np.ptp(table, axis=1).any():
        raise HarnessError(
            f"the judge scores the control of {checkpoint!r} the same on every seed of a prompt, so there is no unit "
            "of harm: its images don't depend on the seed, or the judge doesn't see them"
        )

"""Figures of a variant over several seeds, from those of each seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.errors import CheckpointError
from harness.metrics import pairs
from harness.models.spec import SEEDS
from harness.results.arrays import Values


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
    if control < SEEDS.least:
        raise CheckpointError(
            f'checkpoint {checkpoint!r} has "seeds": {control} in harness.json: harm is measured in the spread of the '
            f"control's score from seed to seed, so it needs {SEEDS.least} or more"
        )
    if not 1 <= variant <= control:
        raise CheckpointError(
            f"variants can't run on {variant} seeds: checkpoint {checkpoint!r} measures its control on {control} "
            '("seeds" in harness.json, or --dit-control-seeds), and every image of a variant is compared with the '
            "control's of the same seed"
        )

"""Records with losses of attributes or categories, for tables of harm by task."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.results.figure_table import ATTRIBUTES
from harness.results.records import Kind
from tests.helpers.records import PROMPTS, quality


def variant(strategy, losses, place="L01-03", harm=0.5):
    """A variant that loses (P,) of each attribute, 0 of those that aren't named."""
    record = quality(strategy, harm)
    values = {f"{name}_loss": tuple(np.zeros(PROMPTS)) for name in ATTRIBUTES}
    values |= {f"{name}_loss": tuple(map(float, loss)) for name, loss in losses.items()}
    measured = replace(record.measurement, values={**record.measurement.values, **values})
    return replace(record, case=f"m-s-{place}-{strategy}", place=place, measurement=measured)


def control(categories):
    record = quality("control", 0.0)
    measured = replace(record.measurement, values={}, categories=tuple(categories), texts=("t",) * len(categories))
    return replace(record, kind=Kind.CONTROL, case="m-control", measurement=measured)


def noise(mean, seed, sd=0.05):
    values = np.random.default_rng(seed).normal(0, sd, PROMPTS)
    return mean + values - values.mean()

"""The harm of each prompt of a variant, in the unit that rankings and reports show."""

from __future__ import annotations

from harness.results.arrays import Array
from harness.results.records import Measurement
from harness.results.statistics import by_prompt


def harm_by_prompt(measurement: Measurement) -> Array:
    """(P,) harms of a measurement's prompts, seeds averaged, in seed-to-seed sds of the control it was measured beside.

    The order is that of the measurement's prompts. Raises KeyError where it has no harm or no unit: see
    :func:`harness.results.records.why_not_ranked`.
    """
    return by_prompt(measurement.values["harm"], measurement.prompts) / measurement.summary["seed_sd"]

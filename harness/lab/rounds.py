"""A variant that is measured in rounds, of some prompts each: its measurements put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.lab.to_lose import lost_percent
from harness.metrics import pairs
from harness.results import statistics
from harness.results.arrays import Values
from harness.results.records import Measurement, Subset

_OF_SETS = ("mmd",)  # figures that compare whole sets, beside FID, which is not measured of some prompts at all
_IN_ROUNDS = "not measured in rounds, since it compares all images at once"


def of_means(summary: Mapping[str, float]) -> dict[str, float]:
    """The figures of a round that those of several rounds follow from."""
    return {name: value for name, value in summary.items() if name not in _OF_SETS}


def figures_of_harms(harms: Values, seed_sd: float, to_lose: Values) -> dict[str, float]:
    """The figures that follow from the (P,) harms of the prompts; all three arguments are in points of the score.

    ``to_lose`` (P,) is :func:`harness.lab.to_lose.prompt_ignoring_harm` of the same prompts.
    """
    return {
        "worst_tenth": statistics.worst_tenth(harms),
        "lost_share": float((harms > seed_sd).mean()),
        **lost_percent(harms, to_lose),
    }


def joined(first: Measurement, second: Measurement, to_lose: Values) -> Measurement:
    """One measurement of the prompts of two rounds, in their order; of all prompts, in the order of the prompt file.

    Means of images are means of both rounds' images, collapsed images are added, and PSNR is that of the mean error.
    ``to_lose`` (P,) is that of all prompts. Raises ValueError where a prompt is in both, or one was not measured in
    rounds.
    """
    if first.subset is None or second.subset is None or set(first.subset.indices) & set(second.subset.indices):
        raise ValueError("two rounds of one variant have different prompts each")
    indices = first.subset.indices + second.subset.indices
    whole = len(indices) == first.subset.of
    order = np.argsort(indices) if whole else np.arange(len(indices))
    values: dict[str, Values] = {}
    for name in first.values.keys() & second.values.keys():
        rows = np.reshape((*first.values[name], *second.values[name]), (len(indices), -1))
        values[name] = np.asarray(rows[order].ravel(), dtype=np.float64)
    shares = first.n / (first.n + second.n), second.n / (first.n + second.n)
    summary = {
        name: shares[0] * first.summary[name] + shares[1] * second.summary[name]
        for name in first.summary
        if name in second.summary
    }
    summary["seed_sd"] = unit = first.summary["seed_sd"]
    summary["harm"] = float(values["harm"].mean()) / unit
    summary["collapsed"] = float(values["collapsed"].sum())
    summary["psnr"] = float(pairs.psnr(values["mse"].mean(keepdims=True))[0])
    subset = Subset(tuple(int(indices[i]) for i in order), first.subset.of)
    harms = statistics.by_prompt(values["harm"], len(indices))
    summary |= figures_of_harms(harms, unit, to_lose[list(subset.indices)])
    return replace(
        first,
        n=first.n + second.n,
        prompts=len(indices),
        values={name: tuple(map(float, values[name])) for name in first.values if name in values},
        summary=summary,
        left_out={**first.left_out, **dict.fromkeys(("MMD", "FID"), _IN_ROUNDS)},
        subset=subset,
    )

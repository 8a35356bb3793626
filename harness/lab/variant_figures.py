"""The figures of a variant's images of one seed against the control's images of the same prompts and seed."""

from __future__ import annotations

import numpy as np

from harness.lab.control import Control
from harness.lab.layer_comparison import compare_layers
from harness.lab.observation import Observation, distances
from harness.lab.seeds import SeedFigures
from harness.metrics import distribution, pairs
from harness.metrics.metric_set import MetricSet
from harness.results import statistics
from harness.results.arrays import Values


def variant_figures(
    variant: Observation, base: Observation, control: Control, seed_sd: float, metrics: MetricSet
) -> SeedFigures:
    """The values of each image and the figures of the set; ``base`` are the control's images of the variant's seed.

    ``seed_sd`` is the unit of harm in points of the score. What needs more prompts than there are is left out, not
    shown as a number that means nothing.
    """
    harm = base.scores - variant.scores
    apart = distances(variant, base)
    values: dict[str, Values] = {
        "score": variant.scores,
        "harm": harm,
        "collapsed": variant.collapsed.astype(np.float64),
        **apart,
    }
    summary = {
        "harm": float(harm.mean()) / seed_sd,
        "seed_sd": seed_sd,
        "clip_delta": -float(harm.mean()),
        "collapsed": float(variant.collapsed.sum()),
        "psnr": float(pairs.psnr(apart["mse"].mean(keepdims=True))[0]),
        "latent_drift": _ratio(apart["latent"], control.reseed["latent"]),
        "pixel_drift": _ratio(apart["mse"], control.reseed["mse"]),
        "ssim_drift": _ratio(apart["ssim"], control.reseed["ssim"]),
        "image_drift": _ratio(apart["image"], control.reseed["image"]),
    }
    if len(harm) > 1:
        summary["mmd"] = statistics.paired_mmd(base.features, variant.features)
    if control.fid_null is not None:
        summary["fid"] = distribution.fid(base.features, variant.features)
        summary["fid_null"] = control.fid_null
        summary["fid_ratio"] = summary["fid"] / control.fid_null
    if variant.least is not None and base.least is not None:
        values["score_min"] = variant.least
        summary["clip_min"] = float((variant.least - base.least).mean())
    if variant.layers is not None and base.layers is not None:
        of_layers = compare_layers(base.layers, variant.layers)
        values |= of_layers.values
        summary |= of_layers.summary
    extra = metrics.compare((base.images, base.extra), (variant.images, variant.extra), control.extra)
    return SeedFigures({**values, **extra.values}, {**summary, **extra.summary})


def _ratio(values: Values, floor: float) -> float:
    return float(values.mean()) / floor if floor > 0 else float("nan")

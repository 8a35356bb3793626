"""The measurement of a variant from its images of each seed, against the control's of the same prompts and seeds."""

from __future__ import annotations

from collections.abc import Sequence

from harness.lab.control import Control, without_sets
from harness.lab.observation import Observation, of_prompts
from harness.lab.rounds import figures_of_harms, of_means
from harness.lab.seeds import combined
from harness.lab.variant_figures import variant_figures
from harness.metrics.metric_set import MetricSet
from harness.results import statistics
from harness.results.arrays import Values
from harness.results.judge_check import JudgeCheck
from harness.results.records import Measurement, Subset


def measure_variant(
    variants: Sequence[Observation],
    control: Control,
    *,
    seed_sd: float,
    metrics: MetricSet,
    to_lose: Values,
    judge_check: JudgeCheck,
    indices: Sequence[int] | None = None,
) -> Measurement:
    """Figures and per-image values of a variant, of all prompts or of those at ``indices``.

    ``variants`` are its images of the first seeds, ``seed_sd`` is the unit of harm in points of the score, and
    ``to_lose`` (P,) is :func:`harness.lab.to_lose.prompt_ignoring_harm` of all prompts.
    """
    bases = control.seeds if indices is None else [of_prompts(base, indices) for base in control.seeds]
    scales = control if indices is None else without_sets(control)
    values, summary = combined(
        [
            variant_figures(variant, base, scales, seed_sd, metrics)
            for variant, base in zip(variants, bases, strict=False)
        ]
    )
    lost = to_lose if indices is None else to_lose[list(indices)]
    harms = statistics.by_prompt(values["harm"], len(lost))
    summary |= {
        "seed_sd_low": control.unit.low,
        "seed_sd_high": control.unit.high,
        **figures_of_harms(harms, seed_sd, lost),
    }
    subset = None if indices is None else Subset(tuple(indices), len(to_lose))
    return Measurement(
        n=len(values["harm"]),
        prompts=len(harms),
        values={k: tuple(round(float(x), 6) for x in v) for k, v in values.items()},
        summary=summary if subset is None else of_means(summary),
        latents_sha256=variants[0].latents_sha256 if subset is None else _same_latents(control, values["latent"]),
        left_out=metrics.left_out(len(harms)),
        judge_check=judge_check,
        subset=subset,
    )


def _same_latents(control: Control, distances: Values) -> str:
    """The control's hash where a variant's latents of some prompts are the control's, else nothing."""
    return "" if distances.any() else control.latents_sha256

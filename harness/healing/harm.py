"""The harm of a plan before and after healing, against the teacher's control, as records that rank side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from harness.ablation.case import BY_HAND
from harness.ablation.plan import Plan
from harness.gates.verdict import unjudged
from harness.lab.lab import Lab
from harness.lab.variant_measurement import measure_variant
from harness.models.sampler import Sampler
from harness.results.records import Kind, Measurement, Record
from harness.results.statistics import Interval, by_prompt, mean_interval

_HEALED = "-healed"
_NOTE = unjudged("a healed model and its plan are measured without stored values")


@dataclass(frozen=True)
class Harms:
    """Harm in seed sds with its 95 % interval over prompts; ``recovered`` is the mean difference of the two, paired."""

    before: Interval
    after: Interval
    recovered: Interval


def measure_healed(lab: Lab, model: nn.Module) -> Measurement:
    """A healed transformer's images against the control's of the same prompts and seeds; the lab's model stays."""
    control = lab.control
    with transformer_replaced(lab.sampler, model):
        seen = [lab.observe(lab.sampler.sample(lab.prompts, seed)) for seed in range(lab.variant_seeds)]
    return measure_variant(
        seen,
        control,
        seed_sd=lab.seed_sd,
        metrics=lab.metrics,
        to_lose=lab.prompt_ignoring_harm,
        judge_check=lab.judge_check,
    )


@contextmanager
def transformer_replaced(sampler: Sampler, model: nn.Module) -> Iterator[None]:
    """The sampler's pipeline with another transformer for the length of a ``with`` block."""
    pipeline: Any = sampler.pipeline
    before = pipeline.transformer
    pipeline.register_modules(transformer=model)
    try:
        yield
    finally:
        pipeline.register_modules(transformer=before)


def harms_of(before: Measurement, after: Measurement, unit: float) -> Harms:
    """The harms of two measurements on the same prompts; ``unit`` is a seed sd in points of the score."""
    first = by_prompt(before.values["harm"], before.prompts) / unit
    second = by_prompt(after.values["harm"], after.prompts) / unit
    return Harms(mean_interval(first), mean_interval(second), mean_interval(first - second))


def records_of(
    lab: Lab, plans: Mapping[str, Plan], before: Measurement, after: Measurement, run: str = ""
) -> list[Record]:
    """The control, the plan and the healed model, for one journal: they rank against each other."""
    stack = "+".join(plans)
    texts = {name: str(plan) for name, plan in plans.items()}
    plan = (
        next(iter(texts.values())) if len(texts) == 1 else "; ".join(f"{name}: {text}" for name, text in texts.items())
    )
    # The id of the case by hand, where there is one stack; the digest of both plans where there are two.
    digest = hashlib.sha256("; ".join(f"{name}: {text}" for name, text in texts.items()).encode()).hexdigest()[:8]
    strategy = f"plan-{digest}"

    def record(name: str, measurement: Measurement) -> Record:
        return Record(
            kind=Kind.QUALITY,
            case=f"{lab.checkpoint.name}-{stack}-{name}",
            nodeid="",
            checkpoint=lab.checkpoint.name,
            stack=stack,
            place="",
            strategy=name,
            plan=plan,
            words=(BY_HAND,),
            fingerprint=lab.fingerprint,
            verdict=_NOTE,
            measurement=measurement,
            run=run,
        )

    return [
        Record.of_control(lab.fingerprint, _NOTE, lab.control_measurement(), run=run),
        record(strategy, before),
        record(strategy + _HEALED, after),
    ]

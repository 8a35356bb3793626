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
from harness.ablation.removals import plans_text
from harness.gates.verdict import unjudged
from harness.lab.lab import Lab
from harness.lab.latency import WARM_UP, forward_seconds
from harness.lab.variant_measurement import measure_variant
from harness.models.kernels import pinned
from harness.models.sampler import Sampler
from harness.results.records import Kind, Measurement, Record
from harness.results.statistics import Interval, by_prompt, mean_interval, speed_up

_HEALED = "-healed"
_NOTE = unjudged("a healed model and its plan are measured without stored values")


@dataclass(frozen=True)
class Harms:
    """Harm in seed sds with its 95 % interval over prompts; ``recovered`` is the mean difference of the two, paired.

    ``prompts`` is their number, ``speed_up`` the healed model's as :func:`time_healed` measures it, None where it was
    not timed.
    """

    before: Interval
    after: Interval
    recovered: Interval
    speed_up: Interval | None = None
    prompts: int = 0


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


def time_healed(lab: Lab, model: nn.Module, rounds: int = 12) -> Interval:
    """The speed-up of a healed transformer: the time of the whole model's forward over its own, with the 95 % interval.

    The forward is the one that cases are timed by, in ``rounds`` pairs in which they take turns at being the first.
    """
    arguments = lab.timed_forward().arguments
    pair: tuple[tuple[nn.Module, list[float]], ...] = ((lab.transformer, []), (model, []))
    with pinned():
        for i in range(WARM_UP + rounds):
            for each, seconds in pair if i % 2 == 0 else reversed(pair):
                seconds.append(forward_seconds(each, arguments, lab.device))
    (_, whole), (_, healed) = pair
    return speed_up(whole[WARM_UP:], healed[WARM_UP:])


def harms_of(before: Measurement, after: Measurement, unit: float, speed_up: Interval | None = None) -> Harms:
    """The harms of two measurements on the same prompts; ``unit`` is a seed sd in points of the score."""
    first = by_prompt(before.values["harm"], before.prompts) / unit
    second = by_prompt(after.values["harm"], after.prompts) / unit
    return Harms(mean_interval(first), mean_interval(second), mean_interval(first - second), speed_up, before.prompts)


def records_of(
    lab: Lab, plans: Mapping[str, Plan], before: Measurement, after: Measurement, run: str = ""
) -> list[Record]:
    """The control, the plan and the healed model, for one journal: they rank against each other."""
    stack = "+".join(plans)
    whole = plans_text(plans)
    plan = str(next(iter(plans.values()))) if len(plans) == 1 else whole
    # The id of the case by hand, where there is one stack; the digest of both plans where there are two.
    digest = hashlib.sha256(whole.encode()).hexdigest()[:8]
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

"""Latency under pytest-benchmark, which has a loop of its own: the control is timed around each of its rounds.

The variant is pytest-benchmark's target, so that its table, its JSON and its ``compare`` are about the variants.
"""

from __future__ import annotations

from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture, PauseInstrumentation

from harness.ablation.case import Case
from harness.lab.latency import WARM_UP, ForwardPairs, Pairs
from harness.lab.modified_latency import ImagePairs, measure_case_latency
from harness.lab.protocol import LabProtocol
from harness.results.latency import Latency


def measure(lab: LabProtocol, case: Case, benchmark: BenchmarkFixture, rounds: int) -> Latency | None:
    """Time ``rounds`` pairs of a lab's forward; None where pytest-benchmark is disabled, after one pair."""

    def loop(pairs: Pairs, rounds: int) -> list[float]:
        def setup() -> None:
            with PauseInstrumentation():  # as pytest-benchmark does for its target: no coverage while timing
                pairs.before_variant()

        def teardown() -> None:
            with PauseInstrumentation():
                pairs.after_variant()

        benchmark.pedantic(pairs.forward, setup=setup, teardown=teardown, rounds=rounds, warmup_rounds=WARM_UP)
        return [] if benchmark.disabled else list(benchmark.stats.stats.data)

    if benchmark.disabled:
        with ImagePairs(lab, case) if case.modifiers else ForwardPairs(lab, case) as pairs:
            loop(pairs, rounds)
        return None
    latency = measure_case_latency(lab, case, rounds, loop)
    benchmark.extra_info.update(_extra_info(case, latency))
    return latency


def _extra_info(case: Case, latency: Latency) -> dict[str, Any]:
    """What pytest-benchmark's JSON says of a case beside the variant's times."""
    return {
        "case": case.id,
        "plan": case.plan_text,
        "control_seconds": list(latency.control),
        "speed_up": latency.ratio,
        "speed_up_interval": [latency.low, latency.high],
        "theoretical_speed_up": latency.theory,
    }

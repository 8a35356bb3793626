"""Latency under pytest-benchmark: control and variant interleaved."""

from __future__ import annotations

import time
from typing import Any

import torch
from pytest_benchmark.fixture import BenchmarkFixture, PauseInstrumentation

from harness.ablation.case import Case
from harness.lab.latency import peak_bytes
from harness.lab.protocol import LabProtocol
from harness.models.sampler import pinned
from harness.results.records import Latency
from harness.results.statistics import speed_up
from harness.surgery.view import AblationView

ROUNDS = 12
WARM_UP = 1


def measure(lab: LabProtocol, case: Case, benchmark: BenchmarkFixture, rounds: int = ROUNDS) -> Latency | None:
    """Time ``rounds`` pairs of the lab's forward; None where pytest-benchmark is disabled.

    The variant is pytest-benchmark's target, so that its JSON and ``compare`` work on the variants; the
    control runs before it in even rounds and after it in odd ones, so that a drift of the machine's
    speed falls on both alike.
    """
    transformer, timed = lab.transformer, lab.timed_forward()
    view = AblationView(transformer, case.plan, case.stack)
    control: list[float] = []
    turn = 0

    def forward() -> None:
        transformer(**timed.arguments)
        if lab.device.type == "cuda":
            torch.cuda.synchronize(lab.device)

    def time_control() -> None:
        view.remove()
        with PauseInstrumentation():
            began = time.perf_counter()
            forward()
            control.append(time.perf_counter() - began)
        view.install()

    def setup() -> None:
        if turn % 2 == 0:
            time_control()

    def teardown() -> None:
        nonlocal turn
        if turn % 2 == 1:
            time_control()
        turn += 1

    with pinned(), view:
        peak = peak_bytes(lab.device, forward)
        benchmark.pedantic(forward, setup=setup, teardown=teardown, rounds=rounds, warmup_rounds=WARM_UP)
        view.remove()
        control_peak = peak_bytes(lab.device, forward)
        view.install()
    if benchmark.disabled:
        return None
    variant = list(benchmark.stats.stats.data)
    control = control[WARM_UP:]
    interval = speed_up(control, variant)
    share = 1.0 - case.saving * lab.checkpoint.stacks[case.stack] / sum(lab.checkpoint.stacks.values())
    measured = Latency(
        control=tuple(control),
        variant=tuple(variant),
        batch=timed.batch,
        ratio=interval.value,
        low=interval.low,
        high=interval.high,
        theory=1.0 / share if share > 0 else float("inf"),
        peak_bytes=peak,
        control_peak_bytes=control_peak,
    )
    benchmark.extra_info.update(_extra(case, measured))
    return measured


def _extra(case: Case, measured: Latency) -> dict[str, Any]:
    return {
        "case": case.id,
        "plan": str(case.plan),
        "control_seconds": list(measured.control),
        "speed_up": measured.ratio,
        "speed_up_interval": [measured.low, measured.high],
        "theoretical_speed_up": measured.theory,
    }

"""What the harness costs and what skips save, on real architectures with random weights: one Markdown table.

``python -m tests.benchmarks.bench_overhead FLUX.1-schnell SD3.5-large AuraFlow-v0.2`` from the repository's root runs
the reduced sizes; ``--weights random --device cuda --dtype bfloat16`` the real ones. Bare model and variant take turns
(ABBA), so that a drift of the machine's speed falls on both alike; the figure is the median of paired ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from harness.ablation.plan import Plan, identity
from harness.ablation.ranges import spans
from harness.ablation.strategies import choose
from harness.lab.latency import peak_bytes
from harness.lab.random_lab import RandomLab
from harness.models import environment
from harness.models.kernels import pinned
from harness.models.random_weights import checkpoint as randomised
from harness.models.random_weights.checkpoint import KINDS, RandomCheckpoint
from harness.results.statistics import Interval, speed_up
from harness.surgery.view import AblationView

HEAD = ("model", "parameters", "bare forward", "what runs", "time against bare", "theory", "peak memory against bare")


@dataclass(frozen=True)
class Timed:
    """One line: ``ratio`` is the variant's time over the bare model's, ``memory`` the same of peaks (CUDA only)."""

    what: str
    bare: float  # seconds, median
    ratio: Interval
    theory: float
    memory: float | None


def variants(checkpoint: RandomCheckpoint) -> Iterator[tuple[str, dict[str, Plan], bool, float]]:
    """(what, plan of each stack, whether every block stands behind a slot, share of the blocks that run)."""
    whole = {stack: identity(length) for stack, length in checkpoint.stacks.items()}
    yield "every block behind a slot", whole, True, 1.0
    total = sum(checkpoint.stacks.values())
    for strategy in ("reverse", "skip"):
        for stack, length in checkpoint.stacks.items():
            ((span, _),) = spans("middle", length)
            plan = choose(strategy).plan(length, span)
            share = (total - length + sum(1 for _ in plan.blocks())) / total
            yield f"{strategy} {stack} {span}", {stack: plan}, False, share


def measure(lab: RandomLab, plans: dict[str, Plan], what: str, theory: float, rounds: int, *, force: bool) -> Timed:
    """Bare model and variant in turns, after one warm-up of each."""
    forward = lab.timed_forward()
    views = [AblationView(lab.transformer, plan, stack, force_slots=force) for stack, plan in plans.items()]

    def run() -> None:
        lab.transformer(**forward.arguments)
        if lab.device.type == "cuda":
            torch.cuda.synchronize(lab.device)

    bare: list[float] = []
    variant: list[float] = []

    def time_bare() -> None:
        bare.append(_seconds(run))

    def time_variant() -> None:
        with _installed(views):
            variant.append(_seconds(run))

    with pinned():
        for turn in range(rounds + 1):
            for go in (time_bare, time_variant) if turn % 2 == 0 else (time_variant, time_bare):
                go()
        peak = peak_bytes(lab.device, run)
        with _installed(views):
            peak_under = peak_bytes(lab.device, run)
    memory = peak_under / peak if peak and peak_under else None
    return Timed(what, float(np.median(bare[1:])), speed_up(variant[1:], bare[1:]), theory, memory)


@contextmanager
def _installed(views: Sequence[AblationView]) -> Iterator[None]:
    with ExitStack() as stack:
        for view in views:
            stack.enter_context(view)
        yield


def _seconds(run: Callable[[], None]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def lines(name: str, kind: str, device: torch.device, dtype: str | None, rounds: int) -> Iterator[tuple[str, ...]]:
    """The table's lines of one checkpoint."""
    checkpoint = randomised.resolve(name, kind, dtype=dtype)
    lab = RandomLab(checkpoint, device=device)
    size = sum(p.numel() for p in lab.transformer.parameters())
    for what, plans, force, theory in variants(checkpoint):
        timed = measure(lab, plans, what, theory, rounds, force=force)
        yield (
            checkpoint.name,
            f"{size / 1e9:.1f} B" if size >= 1e9 else f"{size / 1e6:.1f} M",
            f"{timed.bare * 1e3:.0f} ms",
            timed.what,
            f"{timed.ratio.value:.3f} [{timed.ratio.low:.3f}, {timed.ratio.high:.3f}]",
            f"{timed.theory:.3f}",
            "-" if timed.memory is None else f"{timed.memory:.4f}",
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table as it grows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("checkpoints", nargs="+", help="names, hub ids or folders")
    parser.add_argument("--weights", choices=KINDS, default="random:small")
    parser.add_argument("--device", default=None)
    parser.add_argument("--dtype", default=None, help="default: the checkpoint's")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    device = environment.pick_device(given.device)
    found = environment.versions()
    print(
        f"{environment.device_key(device)} ({environment.capability(device)}, {torch.get_num_threads()} threads), "
        f"torch {found['torch']}, diffusers {found['diffusers']}; {given.rounds} pairs, median with its 95 % interval\n"
    )
    print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD))
    for name in given.checkpoints:
        for line in lines(name, given.weights, device, given.dtype, given.rounds):
            print("| " + " | ".join(line) + " |", flush=True)


if __name__ == "__main__":
    main()

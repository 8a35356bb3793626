"""What a whole case costs over the blocks that it has to run: one Markdown table, a line a bundled model.

``python -m tests.benchmarks.bench_case`` from the repository's root. A case is everything that a quality test does:
images, decoding, the judge, all metrics, pictures, and its line of the journal. The floor is the time of the executed
blocks alone, at the batch size that is fastest for them. Both are measured in turns, and the figure is the median of
paired ratios.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from harness.ablation.case import Case
from harness.ablation.grid import from_id
from harness.lab.lab import Lab
from harness.models.kernels import pinned
from harness.report.case_pictures import keep_pictures
from harness.results.journal import Journal
from harness.results.records import Kind, Record, Status, Verdict
from harness.results.statistics import Interval, speed_up
from harness.surgery.view import ablate

# A middle skip of each model's deepest stack, and a reversal, which runs every block.
CASES = {
    "flux-tiny": ("single-L02-07-skip", "single-L02-07-reverse"),
    "sd3-tiny": ("joint-L03-08-skip", "joint-L03-08-reverse"),
    "auraflow-tiny": ("single-L02-07-skip", "single-L02-07-reverse"),
}
BATCHES = (8, 16, 32, 64)


@dataclass(frozen=True)
class Cost:
    """``case`` and ``transformer`` are times over the floor: of the whole case, and of its forwards alone."""

    name: str
    batch: int  # the fastest for the blocks
    case: Interval
    transformer: Interval


def floor(lab: Lab, case: Case, batch: int) -> tuple[float, float]:
    """Seconds of the executed blocks, and of whole forwards, for all images of a case in batches of that size."""
    blocks: list[nn.Module] = []
    for stack in lab.checkpoint.family.stacks:
        blocks += list(getattr(lab.transformer, stack.attribute))
    inside, begun = [0.0], [0.0]

    def begin(_module: nn.Module, _args: object, _kwargs: object) -> None:
        begun[0] = time.perf_counter()

    def end(_module: nn.Module, _args: object, _kwargs: object, _output: object) -> None:
        inside[0] += time.perf_counter() - begun[0]

    forward = lab.sampler.forward_arguments(lab.prompts[:batch])
    with ExitStack() as hooks:
        for block in blocks:
            hooks.callback(block.register_forward_pre_hook(begin, with_kwargs=True).remove)
            hooks.callback(block.register_forward_hook(end, with_kwargs=True).remove)
        with torch.inference_mode(), pinned(), ablate(lab.transformer, case.plan, case.stack):
            start = time.perf_counter()
            lab.transformer(**forward)
            whole = time.perf_counter() - start
    forwards = lab.checkpoint.settings.steps * len(lab.prompts) / batch
    return inside[0] * forwards, whole * forwards


def measure(name: str, text: str, rounds: int) -> Cost:
    """Floor and whole case in turns, after one of each."""
    lab = Lab(name)
    case = from_id(name, lab.checkpoint.stacks, f"{name}-{text}")
    texts = lab.control_measurement().texts
    best = min(BATCHES, key=lambda batch: min(floor(lab, case, batch)[0] for _ in range(3)))
    own = lab.checkpoint.settings.batch
    floors, wholes, transformers = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))

        def run() -> None:
            ran = lab.run(case.plan, case.stack)
            keep_pictures(Path(folder), case, ran.measurement, ran.output.images, lab.control_images, texts, red=False)
            verdict = Verdict(Status.UNJUDGED)
            journal.append(Record.of(case, Kind.QUALITY, lab.fingerprint, verdict, measurement=ran.measurement))

        run()
        for _ in range(rounds):
            floors.append(floor(lab, case, best)[0])
            wholes.append(_seconds(run))
            transformers.append(floor(lab, case, own))
        journal.close()
    transformer = speed_up([forward for _, forward in transformers], [blocks for blocks, _ in transformers])
    return Cost(f"{name}-{text}", best, speed_up(wholes, floors), transformer)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(CASES))
    parser.add_argument("--rounds", type=int, default=12)
    chosen = parser.parse_args(arguments)
    print("| case | best batch | whole case over its blocks | forwards over their blocks |\n| --- | --- | --- | --- |")
    for name in chosen.models:
        for text in CASES[name]:
            cost = measure(name, text, chosen.rounds)
            print(f"| {cost.name} | {cost.batch} | {_text(cost.case)} | {_text(cost.transformer)} |", flush=True)


def _text(interval: Interval) -> str:
    return f"{interval.value:.2f} [{interval.low:.2f}, {interval.high:.2f}]"


if __name__ == "__main__":
    main()

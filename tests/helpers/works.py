"""Pieces of work for workers: cases of flux-tiny's architecture with random weights, which take milliseconds."""

from __future__ import annotations

from harness.ablation.grid import expand, grid
from harness.workers.work import Measuring, Model, Work, entries_of
from harness.workers.worker import open_checkpoint

PAIRS = ("each", "0-1", "1-2", "2-3", "3-4")  # ranges: with skips in both stacks 23 cases
MODEL = Model("flux-tiny", weights="random:small", device="cpu")


def work(strategies=("skip",), ranges=("each",), stacks=("double",), *, latency=False, model=MODEL, **measuring):
    """The work of a grid over a checkpoint; its five double blocks, each skipped."""
    checkpoint = open_checkpoint(model)
    cases = expand(
        checkpoint.name, checkpoint.stacks, [grid(checkpoint.stacks, only=stacks, ranges=ranges, strategies=strategies)]
    )
    return Work(model, Measuring(latency=latency, rounds=4, **measuring), entries_of(cases))


def measurements(records):
    """What was measured, by kind and case."""
    return {(record.kind, record.case): record.measurement for record in records}

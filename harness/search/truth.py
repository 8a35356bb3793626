"""The truth about small models: the velocity error of every set of left-out blocks, stored as a table.

A model of L blocks has 2^L removals. They share the blocks that they begin with, so that all of them take 2^L - 1
block runs a prompt and step (:mod:`harness.surgery.subset_walk`), which is what sharing needs. A selector that asks for
few of them is scored against the best of all (:mod:`harness.search.regret`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn

from harness.ablation.removals import Blocks, Removal, mask_of, plans_text
from harness.analysis.velocity import relative_error
from harness.errors import DataError, SurgeryError
from harness.files import parse_json, write_atomically
from harness.models.kernels import pinned
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.results.arrays import Array
from harness.results.serialise import Count, Size, from_plain, to_plain
from harness.search.candidates import Candidate, StackPlans
from harness.search.evaluation import Measure
from harness.search.trajectory import trajectory_inputs
from harness.surgery.prefix_walk import walk
from harness.surgery.subset_walk import walk_subsets

FOLDER = Path("docs") / "search"  # the tables of the bundled models, in a checkout
MOST_BLOCKS = 18  # 2^18 removals
_TOGETHER = 8  # subsets in one batch: as fast as more on these models, and small in memory
_TOLERANCE = 1e-3  # of a velocity's norm, between a batch of subsets and one plan's own forward; rounding is 1e-6


@dataclass(frozen=True)
class Circumstances:
    """How a table was made: on which prompts (the first ``rough_prompts`` for the rough errors), at which steps.

    ``steps`` are 0-based, of ``of_steps``, on the trajectory of seed 0. ``block_runs`` are the runs of a block, on all
    prompts and steps at once, that the walk made, and ``seconds`` how long it took on ``threads`` threads.
    """

    checkpoint: str
    lengths: Mapping[str, Count]
    weights: str
    prompts: tuple[str, ...]
    rough_prompts: Count
    steps: tuple[int, ...]
    of_steps: Count
    versions: Mapping[str, str]
    device: str = "cpu"
    dtype: str = "float32"
    threads: Count = 1
    block_runs: Count = 0
    seconds: Size = 0.0


@dataclass(frozen=True)
class Truth:
    """``fine`` and ``rough`` are (2^L,) relative velocity errors by :func:`~harness.ablation.removals.mask_of`."""

    about: Circumstances
    fine: Array
    rough: Array

    @property
    def measure(self) -> Measure:
        """Errors from the table instead of from the model, which holds those of removals alone (else DataError)."""

        def look_up(candidates: Sequence[Candidate], rough: bool) -> list[float]:
            table = self.rough if rough else self.fine
            return [float(table[mask_of(_removal(candidate))]) for candidate in candidates]

        return look_up

    @property
    def blocks(self) -> Blocks:
        """Its blocks, each of which counts as one."""
        return Blocks.alike(self.about.lengths)

    @property
    def sizes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """(2^L,) how many blocks each removal leaves out."""
        masks = np.arange(len(self.fine))
        return sum((masks >> bit & 1 for bit in range(self.blocks.count)), start=np.zeros_like(masks))


def _removal(candidate: Candidate) -> Removal:
    if isinstance(candidate, StackPlans):
        raise DataError(f"a table of all removals has no error of {plans_text(dict(candidate.by_stack))!r}")
    return candidate


def check_size(checkpoint: str, lengths: Mapping[str, int]) -> None:
    """Raise DataError where a model has more blocks than a table of all removals can have."""
    count = sum(lengths.values())
    if count > MOST_BLOCKS:
        raise DataError(
            f"{checkpoint} has {count} blocks: 2^{count} sets of them are too many to measure "
            f"(a table is of at most {MOST_BLOCKS} blocks)"
        )


def measure_truth(sampler: Sampler, about: Circumstances) -> Truth:
    """Measure every removal; ``block_runs`` and ``seconds`` of ``about`` are filled in.

    Raises DataError for a model with too many blocks, SurgeryError where what a batch of subsets gives isn't what the
    plans give (checked on some).
    """
    check_size(about.checkpoint, about.lengths)
    count = sum(about.lengths.values())
    fine, rough = np.full(2**count, np.nan), np.full(2**count, np.nan)
    began = time.perf_counter()
    batches = trajectory_inputs(sampler, about.prompts, about.steps)
    if len(batches) > 1:
        raise DataError(
            f"{len(about.prompts)} prompts x {len(about.steps)} steps are more rows than {about.checkpoint} takes at "
            f"once ({sampler.batch}); take fewer"
        )
    batch = batches[0]
    is_rough = np.array([prompt < about.rough_prompts for prompt, _ in batch.rows])
    with torch.inference_mode(), pinned(), _counted(sampler.transformer) as rows:
        control: Tensor | None = None
        for subsets, outputs in walk_subsets(sampler.transformer, batch.arguments, together=_TOGETHER):
            if control is None:
                control = outputs[subsets.index(0)]  # the first batch begins with the model as it is
            for subset, output in zip(subsets, outputs, strict=True):
                errors = relative_error(output, control)
                fine[subset], rough[subset] = errors.mean(), errors[is_rough].mean()
        assert control is not None
        runs = sum(rows) / len(control)
        _check(sampler.transformer, batch.arguments, about, fine)
    seconds = time.perf_counter() - began
    return Truth(replace(about, block_runs=round(runs), seconds=round(seconds, 1)), fine, rough)


@contextmanager
def _counted(transformer: nn.Module) -> Iterator[list[int]]:
    """The rows of every run of a block inside the ``with`` block."""
    model = unwrap_compiled(transformer)
    rows: list[int] = []

    def count(_block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        rows.append(len(kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]))

    blocks = [block for attribute in stacks(model).values() for block in blocks_at(model, attribute)]
    handles = [block.register_forward_pre_hook(count, with_kwargs=True) for block in blocks]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def _check(transformer: nn.Module, inputs: Mapping[str, Any], about: Circumstances, fine: Array) -> None:
    """Raise SurgeryError where the errors of the smallest and the largest removals aren't those of their plans."""
    blocks = Blocks.alike(about.lengths)
    everything = frozenset(range(blocks.count))
    removals = [frozenset[int](), *(frozenset({i}) for i in everything), *(everything - {i} for i in everything)]
    outputs = dict(walk(transformer, inputs, [blocks.plan(removal) for removal in removals]))
    for number, removal in enumerate(removals):
        error = float(relative_error(outputs[number], outputs[0]).mean())
        if not abs(error - fine[mask_of(removal)]) <= _TOLERANCE * max(error, _TOLERANCE):
            raise SurgeryError(
                f"the plan {blocks.text(removal)!r} has the velocity error {error:.6g} alone and "
                f"{fine[mask_of(removal)]:.6g} in the walk over all sets of blocks"
            )


def write_truth(truth: Truth, path: Path) -> None:
    """Write the table as float32. Raises HarnessError where it can't be written."""
    arrays = {"fine": truth.fine.astype(np.float32), "rough": truth.rough.astype(np.float32)}
    write_atomically(path, save(arrays, {"about": json.dumps(to_plain(truth.about), sort_keys=True)}))


def read_truth(path: Path) -> Truth:
    """Read a table. Raises DataError where it can't be read, or is none."""
    try:
        with safe_open(path, "numpy") as file:
            about = from_plain(Circumstances, parse_json((file.metadata() or {}).get("about", "null")))
            arrays = {name: file.get_tensor(name).astype(np.float64) for name in ("fine", "rough")}
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{path} can't be read as a table of all removals: {error}") from None
    if any(array.shape != (2 ** sum(about.lengths.values()),) for array in arrays.values()):
        raise DataError(f"{path} has not one error for each removal of {about.lengths}")
    return Truth(about, **arrays)

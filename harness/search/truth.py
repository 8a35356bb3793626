"""The truth about small models: the velocity error of every set of left-out blocks, stored as a table.

A model of L blocks has 2^L removals. Their plans share what they begin with, so that all of them take 2^(L + 1) - 2
block runs a prompt and step (:mod:`harness.surgery.prefix_walk`). A selector that asks for few of them is scored
against the best of all (:mod:`harness.search.regret`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from harness.analysis.velocity import plan_errors
from harness.errors import DataError
from harness.files import parse_json, write_atomically
from harness.models.sampler import Sampler
from harness.results.arrays import Array
from harness.results.serialise import Count, from_plain, to_plain
from harness.search.evaluation import Measure
from harness.search.removals import Blocks, Removal, mask_of, of_mask

FOLDER = Path("docs") / "search"  # the tables of the bundled models, in a checkout
_MOST_BLOCKS = 20  # 2^20 removals


@dataclass(frozen=True)
class Circumstances:
    """How a table was made: on how many prompts (of them ``rough_prompts`` for the rough errors), at which steps."""

    checkpoint: str
    lengths: Mapping[str, Count]
    weights: str
    prompts: Count
    rough_prompts: Count
    steps: tuple[int, ...]
    of_steps: Count
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Truth:
    """``fine`` and ``rough`` are (2^L,) relative velocity errors by :func:`~harness.search.removals.mask_of`."""

    about: Circumstances
    fine: Array
    rough: Array

    @property
    def measure(self) -> Measure:
        """Errors from the table instead of from the model."""

        def look_up(removals: Sequence[Removal], rough: bool) -> list[float]:
            table = self.rough if rough else self.fine
            return [float(table[mask_of(removal)]) for removal in removals]

        return look_up

    @property
    def blocks(self) -> Blocks:
        """Its blocks, each of which counts as one."""
        return Blocks.alike(self.about.lengths)

    @property
    def sizes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """(2^L,) how many blocks each removal leaves out."""
        masks = np.arange(len(self.fine))
        return sum((masks >> bit & 1 for bit in range(len(self.fine).bit_length() - 1)), start=np.zeros_like(masks))


def measure_truth(sampler: Sampler, about: Circumstances, prompts: Sequence[str]) -> Truth:
    """Measure every removal on some prompts, the rough errors on the first. Raises DataError above 20 blocks."""
    count = sum(about.lengths.values())
    if count > _MOST_BLOCKS:
        raise DataError(f"{about.checkpoint} has {count} blocks: 2^{count} sets of them are too many to measure")
    blocks = Blocks.alike(about.lengths)
    plans = [blocks.plan(of_mask(mask)) for mask in range(2**count)]
    errors = plan_errors(sampler, prompts, plans, steps=about.steps).error.mean(axis=2)
    return Truth(about, errors.mean(axis=1), errors[:, : about.rough_prompts].mean(axis=1))


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

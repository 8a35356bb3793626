"""Errors of candidates on a real model: velocity errors on a few prompts and steps of the control's trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from harness.ablation.plan import Plan
from harness.ablation.removals import Blocks
from harness.analysis.velocity import check_walk, relative_error
from harness.models.kernels import pinned
from harness.models.sampler import Sampler
from harness.search.candidates import Candidate, plans_of
from harness.search.trajectory import InputBatch, trajectory_inputs
from harness.surgery.prefix_walk import block_runs, walk


class VelocityErrors:
    """Measures the mean relative velocity error over prompts and steps; the rough one is on every fourth prompt.

    The control's trajectory is sampled once, when the first error is asked for. Candidates that are asked for
    together share the blocks that they begin with. ``control_images`` is what was spent so far, in images of the whole
    model.
    """

    def __init__(
        self, sampler: Sampler, lengths: Mapping[str, int], prompts: Sequence[str], steps: Sequence[int]
    ) -> None:
        self._sampler, self._prompts, self._steps = sampler, list(prompts), tuple(steps)
        self._blocks = Blocks.alike(lengths)
        self._inputs: list[InputBatch] | None = None
        self.control_images = 0.0

    def __call__(self, candidates: Sequence[Candidate], rough: bool) -> list[float]:
        """The errors of candidates, in their order. Raises SurgeryError where a walk isn't bitwise a plan's forward."""
        plans = [plans_of(candidate, self._blocks) for candidate in candidates]
        errors: list[list[float]] = [[] for _ in plans]
        with torch.inference_mode(), pinned():
            for batch in self._rows(rough):
                outputs = walk(self._sampler.transformer, batch.arguments, [{}, *plans])
                _, control = next(outputs)
                for plan, velocity in outputs:
                    errors[plan - 1] += relative_error(velocity, control).tolist()
                self.control_images += self._share(plans) * len(batch.rows) / self._sampler.settings.steps
        return [float(np.mean(rows)) for rows in errors]

    def _rows(self, rough: bool) -> list[InputBatch]:
        if self._inputs is None:
            self._inputs = trajectory_inputs(self._sampler, self._prompts, self._steps)
            self.control_images += len(self._prompts)
            check_walk(self._sampler.transformer, self._inputs[0].arguments)
        if not rough:
            return self._inputs
        kept = [[row for row, (prompt, _) in enumerate(b.rows) if prompt % 4 == 0] for b in self._inputs]
        return [batch.only(rows) for batch, rows in zip(self._inputs, kept, strict=True) if rows]

    def _share(self, plans: Sequence[Mapping[str, Plan]]) -> float:
        """The block runs of a walk, in forwards of the whole model."""
        return block_runs(self._blocks.lengths, [{}, *plans]) / self._blocks.count

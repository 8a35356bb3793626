"""The session's labs, opened on first use, and the stored values that each is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.gates.reference import Reference, reference_for
from harness.models import prompts
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.random_weights.checkpoint import RandomCheckpoint
from harness.plugin.options import Options

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol


@dataclass
class Labs:
    """Labs by checkpoint name, all with the same options; ``threads`` of torch on the CPU (None: torch's own)."""

    options: Options
    threads: int | None = None
    references: dict[str, Reference] = field(default_factory=dict[str, Reference])
    _labs: dict[str, LabProtocol] = field(default_factory=dict)

    @cached_property
    def prompts(self) -> dict[str, list[str]] | None:
        """The prompts that were asked for, by category; None means each checkpoint's own. Raises PromptError."""
        return prompts.categories(self.options.prompts) if self.options.prompts else None

    def lab(self, checkpoint: Checkpoint, folder: Path) -> LabProtocol:
        """The lab of a checkpoint, with the baselines under ``folder``. Raises HarnessError."""
        if checkpoint.name not in self._labs:
            lab = self._open(checkpoint)
            updates = self.options.update is not None
            self.references[checkpoint.name] = reference_for(lab, folder, updates=updates)
            self._labs[checkpoint.name] = lab
        return self._labs[checkpoint.name]

    def _open(self, checkpoint: Checkpoint) -> LabProtocol:
        # These load torch, which the collection of cases does without.
        import torch

        from harness.gates.validation.perturb import apply_perturbation
        from harness.lab.lab import Lab
        from harness.lab.random_lab import RandomLab
        from harness.models.environment import pick_device

        if self.threads:
            torch.set_num_threads(self.threads)
        options = self.options
        if isinstance(checkpoint, RandomCheckpoint):
            return RandomLab(checkpoint, device=pick_device(options.device))
        lab = Lab(
            checkpoint,
            prompts=self.prompts,
            device=pick_device(options.device),
            offload=options.offload,
            judge=options.judge,
            metrics=options.metrics,
            trust_judge=options.trust_judge,
        )
        for perturbation in options.perturbations:
            apply_perturbation(lab.sampler, perturbation)
        return lab

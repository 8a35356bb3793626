"""The run: labs, baselines and reports shared by all tests of a session, without pytest."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.gates.reference import Reference, find_reference
from harness.gates.validation.perturbations import Perturbation
from harness.models import prompts
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.random_weights.checkpoint import RandomCheckpoint

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol


@dataclass
class Labs:
    """Labs by checkpoint name, opened when first needed, all with the same device and prompts."""

    device: str | None = None
    prompts_file: Path | None = None
    threads: int | None = None
    updates: bool = False
    offload: str = "none"
    judge: str | None = None
    metrics: tuple[str, ...] = ()
    perturbations: tuple[Perturbation, ...] = ()
    labs: dict[str, LabProtocol] = field(default_factory=dict)
    judged: dict[str, Reference] = field(default_factory=dict[str, Reference])

    @cached_property
    def prompts(self) -> list[str] | None:
        """The prompts that were asked for; None means each checkpoint's own. Raises PromptError."""
        return prompts.read(self.prompts_file) if self.prompts_file else None

    def lab(self, checkpoint: Checkpoint, folder: Path) -> LabProtocol:
        """The lab of a checkpoint, with the baselines under ``folder``. Raises HarnessError."""
        if checkpoint.name not in self.labs:
            self.labs[checkpoint.name] = self._open(checkpoint, folder)
        return self.labs[checkpoint.name]

    def _open(self, checkpoint: Checkpoint, folder: Path) -> LabProtocol:
        import torch

        from harness.gates.validation.perturb import apply_perturbation
        from harness.lab.lab import Lab
        from harness.models.environment import pick_device, processor

        if self.threads:
            torch.set_num_threads(self.threads)
        if isinstance(checkpoint, RandomCheckpoint):
            from harness.lab.random_lab import RandomLab

            blind = RandomLab(checkpoint, device=pick_device(self.device))
            self.judged[checkpoint.name] = Reference(None, folder, False, (), blind.no_images_reason)
            return blind
        lab = Lab(
            checkpoint,
            prompts=self.prompts,
            device=pick_device(self.device),
            offload=self.offload,
            judge=self.judge,
            metrics=self.metrics,
        )
        for perturbation in self.perturbations:
            apply_perturbation(lab.sampler, perturbation)
        judged = find_reference(folder, lab.fingerprint, processor(lab.device), updates=self.updates)
        if judged.baseline is not None and not judged.incomparable:
            lab.fix_unit(judged.baseline.seed_sd)
        self.judged[checkpoint.name] = judged
        return lab

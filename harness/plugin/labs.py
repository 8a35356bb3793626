"""The session's labs, opened on first use, each with the stored values that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.gates.reference import Reference, reference_for
from harness.lab import cost
from harness.models import prompts
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.random_weights.checkpoint import RandomCheckpoint
from harness.plugin.options import Options
from harness.plugin.parameters import Target

if TYPE_CHECKING:
    from harness.lab.cache import Cache
    from harness.lab.pictures import Picture
    from harness.lab.protocol import LabProtocol


@dataclass(frozen=True)
class OpenLab:
    """A lab with its model loaded, and the stored values that its checkpoint is compared with."""

    lab: LabProtocol
    reference: Reference


def prompt_count(checkpoint: Checkpoint, options: Options) -> int:
    """How many prompts a checkpoint is run on, or pictures, each of which has one. Raises PromptError or DataError."""
    if options.pictures is None:
        return cost.prompt_count(checkpoint.prompts_file, options.prompts)
    from harness.lab.pictures import picture_paths  # loads numpy and PIL

    return len(picture_paths(options.pictures))


@dataclass
class Labs:
    """Labs by checkpoint name, all with the same options; ``threads`` of torch on the CPU (None: torch's own).

    The control of a checkpoint in ``tested_controls`` is not taken from the cache.

    Once ``broken`` holds a message, every lab that is asked for raises it: a worker of pytest-xdist must not end the
    run by itself, so its tests fail with what was wrong.
    """

    options: Options
    threads: int | None = None
    broken: str = ""
    tested_controls: frozenset[str] = frozenset()
    opened: dict[str, OpenLab] = field(default_factory=dict[str, OpenLab])

    @cached_property
    def prompts(self) -> dict[str, list[str]] | None:
        """The prompts of ``--dit-prompts`` by category; None means each checkpoint's own. Raises PromptError."""
        return prompts.categories(self.options.prompts) if self.options.prompts else None

    @cached_property
    def pictures(self) -> list[Picture] | None:
        """The pictures of ``--dit-pictures``; None without the option. Raises DataError where one can't be read."""
        from harness.lab.pictures import read_pictures  # loads numpy and PIL

        return None if self.options.pictures is None else read_pictures(self.options.pictures)

    @cached_property
    def cache(self) -> Cache | None:
        """The cache of all labs; None without ``--dit-cache``."""
        from harness.lab.cache import Cache  # loads torch

        return None if self.options.cache is None else Cache(self.options.cache, self.options.cache_limit)

    def open(self, target: Target) -> OpenLab:
        """The lab of a checkpoint, from its first call on. Raises HarnessError where it can't be opened."""
        if self.broken:
            raise HarnessError(self.broken)
        if target.name not in self.opened:
            lab = self._load(target.checkpoint)
            updates, rigour = self.options.update is not None, self.options.rigour
            reference = reference_for(
                lab, target.baselines, updates=updates, rigour=rigour, whole_control=self.options.measures_whole_control
            )
            self.opened[target.name] = OpenLab(lab, reference)
        return self.opened[target.name]

    def _load(self, checkpoint: Checkpoint) -> LabProtocol:
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
            pictures=self.pictures,
            device=pick_device(options.device),
            offload=options.offload,
            judge=options.judge,
            metrics=options.metrics,
            variant_seeds=options.seeds,
            trust_judge=options.trust_judge,
            cache=self.cache,
        )
        lab.makes_control = checkpoint.name in self.tested_controls
        for perturbation in options.perturbations:
            apply_perturbation(lab.sampler, perturbation)
        return lab

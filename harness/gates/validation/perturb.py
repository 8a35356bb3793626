"""Bringing a perturbation to work on a loaded pipeline, for the rest of the session."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend

from harness.gates.validation.perturbations import Perturbation
from harness.models.kernels import KERNELS
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled

_ATTENTION = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION}


def apply_perturbation(sampler: Sampler, perturbation: Perturbation) -> None:
    """Change what shouldn't matter. The instruction set was chosen before torch was loaded."""
    kind, value = perturbation.kind, perturbation.value
    sampler.perturbed = (*sampler.perturbed, str(perturbation))
    if kind == "threads":
        torch.set_num_threads(int(value))
    elif kind == "batch":
        sampler.batch = int(value)
    elif kind == "ulp":
        sampler.ulps = int(value)
    elif kind == "sdpa":
        # The math kernel behind it: some shapes have no other.
        KERNELS.set(tuple(dict.fromkeys((_ATTENTION[value], SDPBackend.MATH))))
    elif kind == "compile":
        model = unwrap_compiled(sampler.transformer)
        for attribute in stacks(model).values():
            for block in blocks_at(model, attribute):
                block.compile()

"""The lines at the start of a run: device, versions, checkpoints and what they are compared with."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.gates import baselines
from harness.gates.reference import control_may_be_stored, stored_unit
from harness.gates.rigour import Rigour
from harness.lab import cost
from harness.models.environment import capability, device_key, pick_device, versions
from harness.models.random_weights.checkpoint import RandomCheckpoint
from harness.plugin.collection import Collection
from harness.plugin.labs import prompt_count
from harness.plugin.parameters import Target
from harness.report.cost_line import cost_line, power_line
from harness.report.text import relative

_SHOWN_VERSIONS = ("torch", "diffusers", "transformers")


def describe(collection: Collection) -> list[str]:
    """The header: device and versions, and for every checkpoint that will run its baseline and what its cases cost.

    Raises HarnessError for a device that can't be used or prompts or pictures that can't be read.
    """
    device = pick_device(collection.options.device)
    installed = versions()
    key = device_key(device)
    shown = ", ".join(f"{package} {installed[package]}" for package in _SHOWN_VERSIONS if package in installed)
    lines = [f"dit: {key} ({capability(device)}, {torch.get_num_threads()} threads); {shown}"]
    for target in collection.targets:
        lines += _checkpoint_lines(target, key, collection)
    return lines


def _checkpoint_lines(target: Target, device: str, collection: Collection) -> list[str]:
    checkpoint, options = target.checkpoint, collection.options
    blocks = ", ".join(f"{n} {stack}" for stack, n in checkpoint.stacks.items())
    if isinstance(checkpoint, RandomCheckpoint):
        return [f"dit: {target.name} ({blocks} blocks): {checkpoint.about}"]
    dtype = checkpoint.settings.dtype
    how = dtype if options.offload == "none" else f"{dtype}, offload {options.offload}"
    wanted = baselines.file_of(target.baselines, target.name, device, dtype)
    stored = _stored(wanted, options.rigour)
    lines = [f"dit: {target.name} ({blocks} blocks, {checkpoint.settings.steps} steps, {how}); {stored}"]
    if checkpoint.lacks:
        lines.append(f"dit: {target.name} was pruned: it lacks {checkpoint.lacks}; its own blocks are counted from 0")
    if options.groups and not options.plans:
        path = relative(target.groups_file, Path.cwd())
        lines.append(f"dit: first, middle and last of {target.name} are measured groups, from {path}")
    if cases := collection.cases_with_images(target):
        prompts = prompt_count(checkpoint, options)
        total = cost.cost(
            checkpoint.stacks,
            checkpoint.settings,
            checkpoint.family,
            cases,
            prompts,
            variant_seeds=options.seeds,
        )
        may_be_stored = control_may_be_stored(wanted) and not options.measures_whole_control
        power = power_line(total, stored_unit(wanted, target.name))
        lines += [f"dit: {line}" for line in (cost_line(total, control_may_be_stored=may_be_stored), power) if line]
    return lines


def _stored(wanted: Path, rigour: Rigour) -> str:
    """Which file of stored values will be compared with, if any."""
    path, exact = baselines.choose_file(wanted)
    if path is None:
        red = ": every case fails (--dit-strict)" if rigour is Rigour.STRICT else ": nothing is judged"
        return f"no baseline for {wanted.stem}{red}"
    return f"baseline {path.name}" + ("" if exact else " (another device: latency is not judged)")

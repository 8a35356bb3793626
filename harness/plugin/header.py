"""The lines at the start of a run: device, versions, checkpoints and what they are compared with."""

from __future__ import annotations

from pathlib import Path

from harness.gates import baselines
from harness.gates.reference import stored_unit
from harness.lab import cost
from harness.models.environment import capability, device_key, pick_device, versions
from harness.models.random_weights.checkpoint import RandomCheckpoint
from harness.plugin.collection import Collection
from harness.report.cost_line import cost_line, power_line

SHOWN_VERSIONS = ("torch", "diffusers", "transformers")


def describe(collection: Collection) -> list[str]:
    """The header: device, versions, checkpoint and baseline of every checkpoint that will run."""
    import torch

    device = pick_device(collection.options.device)
    found = versions()
    where = f"{device_key(device)} ({capability(device)}, {torch.get_num_threads()} threads)"
    lines = [f"dit: {where}; " + ", ".join(f"{p} {found[p]}" for p in SHOWN_VERSIONS if p in found)]
    for name in dict.fromkeys(collection.owners[key] for key in collection.wanted):
        checkpoint = collection.checkpoints[name]
        blocks = ", ".join(f"{n} {stack}" for stack, n in checkpoint.stacks.items())
        if isinstance(checkpoint, RandomCheckpoint):
            lines.append(f"dit: {name} ({blocks} blocks): {checkpoint.about}")
            continue
        key, dtype = device_key(device), checkpoint.settings.dtype
        wanted = baselines.file_of(collection.baselines[name], name, key, dtype)
        path, exact = baselines.choose_file(wanted)
        if path is None:
            stored = f"no baseline for {key}-{dtype}: nothing is judged"
        else:
            stored = f"baseline {path.name}" + ("" if exact else " (another device: latency is not judged)")
        how = dtype if collection.options.offload == "none" else f"{dtype}, offload {collection.options.offload}"
        lines.append(f"dit: {name} ({blocks} blocks, {checkpoint.settings.steps} steps, {how}); {stored}")
        cases = [collection.cases[key] for key in collection.pictured if collection.owners[key] == name]
        if collection.options.groups and not collection.options.plans:
            path = _relative(collection.groups_file(name), Path.cwd())
            lines.append(f"dit: first, middle and last of {name} are measured groups, from {path}")
        if cases:
            number = cost.prompt_count(checkpoint.prompts_file, collection.options.prompts)
            asked = cost.cost(
                checkpoint.stacks,
                checkpoint.settings,
                checkpoint.family,
                cases,
                number,
                variant_seeds=collection.options.seeds,
            )
            unit = stored_unit(wanted, name)
            lines += [f"dit: {line}" for line in (cost_line(asked), power_line(asked, unit)) if line]
    return lines


def _relative(path: Path, start: Path) -> Path:
    return path.relative_to(start) if path.is_relative_to(start) else path

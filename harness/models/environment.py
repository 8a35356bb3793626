"""The device and the versions that a number is measured with."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from harness.errors import CheckpointError, first_line
from harness.models.arithmetic import arithmetic
from harness.models.checkpoints.resolve import Checkpoint
from harness.results.fingerprint import Fingerprint

_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "open-clip-torch",
    "torchmetrics",
    "numpy",
    "safetensors",
)


def pick_device(name: str | None) -> torch.device:
    """The device of that name, or the GPU where there is one. Raises CheckpointError where it can't be used."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise CheckpointError(f"device {name!r} can't be used here: it computes nothing")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CheckpointError(f"device {name!r} can't be used here: {first_line(error)}") from None
    return device


def versions(*more: str) -> dict[str, str]:
    """Versions of everything that can change a number; ``more`` are packages that only this run uses."""
    installed = {"python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed


@cache
def device_key(device: torch.device) -> str:
    """``cpu``, or the GPU's name as a slug: ``nvidia-h200``."""
    if device.type != "cuda":
        return device.type
    return "-".join(torch.cuda.get_device_name(device).lower().split())


def capability(device: torch.device) -> str:
    """What decides which kernels run: the CPU's instruction set as torch uses it, or the compute capability."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm{major}{minor}"
    return torch.backends.cpu.get_cpu_capability()


@cache
def machine(device: torch.device) -> str:
    """Twelve hex digits for what decides the last bit beside versions: processor, torch build, GPU, its libraries."""
    return _digest(_parts(device))


@cache
def processor(device: torch.device) -> str:
    """As :func:`machine`, whatever instruction set torch was told to use: says where something was measured."""
    usage = "CPU capability usage"
    return _digest(["\n".join(line for line in part.split("\n") if usage not in line) for part in _parts(device)])


def fingerprint(
    checkpoint: Checkpoint,
    device: torch.device,
    sampling: Sequence[str],
    *,
    weights: str,
    judge: str = "",
    prompts: str = "",
    metrics: Mapping[str, str] | None = None,
    offload: str = "none",
    machine: str = "",
    perturbed: tuple[str, ...] = (),
) -> Fingerprint:
    """Everything that can change a number measured of a checkpoint on a device in this process.

    ``sampling`` names the fields of the checkpoint's settings that matter for what is measured; ``weights`` is the
    digest of its weights, ``prompts`` that of the prompts. The rest is as in
    :class:`harness.results.fingerprint.Fingerprint`.
    """
    settings = checkpoint.settings
    return Fingerprint(
        checkpoint=checkpoint.name,
        weights=weights,
        judge=judge,
        prompts=prompts,
        sampling={name: getattr(settings, name) for name in sampling},
        device=device_key(device),
        dtype=settings.dtype,
        capability=capability(device),
        threads=torch.get_num_threads(),
        versions=versions(*(["peft"] if checkpoint.lora is not None else [])),
        metrics=metrics or {},
        offload=offload,
        machine=machine,
        perturbed=perturbed,
        arithmetic=arithmetic(device, settings.dtype),
    )


def _parts(device: torch.device) -> list[str]:
    cpu = Path("/proc/cpuinfo")
    facts = (
        {line for line in cpu.read_text().splitlines() if line.startswith(("model name", "flags"))}
        if cpu.exists()
        else set()
    )
    parts = [platform.machine(), platform.processor(), torch.__config__.show(), *sorted(facts)]
    if device.type == "cuda":
        cudnn: Any = torch.backends.cudnn  # its functions have no types
        parts += [torch.cuda.get_device_name(device), str(torch.version.cuda), str(cudnn.version())]
    return parts


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

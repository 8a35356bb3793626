"""Loading a checkpoint folder into diffusers, and naming what is wrong with it; and hashing what was loaded."""

from __future__ import annotations

import hashlib
import inspect
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError, safe_open

from harness.errors import CheckpointError
from harness.registry import Checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "accelerate",
    "open-clip-torch",
    "torchmetrics",
    "numpy",
    "safetensors",
)


def load(checkpoint: Checkpoint, device: torch.device, dtype: str | None = None) -> Any:
    """The pipeline of a checkpoint, from its safetensors files alone, in eval mode on ``device``.

    Raises CheckpointError: a class that this diffusers doesn't have, a missing or damaged weight file, a
    file that doesn't fit its config; an unknown dtype.
    """
    name = dtype or checkpoint.settings.dtype
    if name not in DTYPES:
        raise CheckpointError(f"unknown dtype {name!r}; there are {', '.join(DTYPES)}")
    pipeline_class = getattr(diffusers, checkpoint.family.pipeline, None)
    if pipeline_class is None:
        raise CheckpointError(f"diffusers {diffusers.__version__} has no {checkpoint.family.pipeline}; upgrade it")
    check_files(checkpoint.folder)
    try:
        with no_bars():
            pipeline = pipeline_class.from_pretrained(
                checkpoint.folder, **dtype_argument(DTYPES[name]), use_safetensors=True, local_files_only=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError, TypeError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} doesn't load: {first}; save it again with save_pretrained"
        ) from error
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    check_loaded(pipeline, checkpoint.folder)
    return pipeline.to(device)


def check_loaded(pipeline: Any, folder: Path) -> None:
    """Compare a few values of every stored tensor with the loaded models.

    Another version may look for weights under another name, and then goes on with random ones and a warning.
    Raises CheckpointError naming the first weight that did not arrive.
    """
    for name, part in pipeline.components.items():
        if not isinstance(part, torch.nn.Module) or getattr(part, "is_quantized", False):
            continue
        # A version may add or drop a prefix of its own, so the last parts of a name decide.
        loaded = {key.split(".", 1)[-1]: value for key, value in part.state_dict().items()} | part.state_dict()
        for path in sorted((folder / name).glob("*.safetensors")):
            with safe_open(path, framework="pt") as stored:
                for key in stored.keys():  # noqa: SIM118 - no mapping
                    value = loaded.get(key, loaded.get(key.split(".", 1)[-1]))
                    piece = stored.get_slice(key)[:1].flatten()[:8] if stored.get_slice(key).get_shape() else None
                    if piece is None or not piece.is_floating_point():
                        continue
                    if value is None or not torch.equal(value[:1].flatten()[:8].cpu(), piece.to(value.dtype)):
                        raise CheckpointError(
                            f"checkpoint {folder}: {name} does not hold the stored weight {key!r} after loading, so "
                            f"this version of its library would run it with random weights; save {name} with "
                            "the version that is installed"
                        )


def dtype_argument(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """``dtype=`` where this diffusers knows it: older ones ignore it silently, newer ones deprecate the other."""
    source = inspect.getsource(diffusers.DiffusionPipeline.from_pretrained)
    return {"dtype": dtype} if 'kwargs.pop("dtype"' in source else {"torch_dtype": dtype}


@contextmanager
def no_bars() -> Iterator[None]:
    """Loading without the progress bars of diffusers and transformers, which are on or off for everybody."""
    loggings = (diffusers.utils.logging, transformers.utils.logging)
    shown = [module.is_progress_bar_enabled() for module in loggings]
    for module in loggings:
        module.disable_progress_bar()
    try:
        yield
    finally:
        for module, before in zip(loggings, shown, strict=True):
            if before:
                module.enable_progress_bar()


def pick_device(name: str | None) -> torch.device:
    """The device of that name, or the GPU where there is one. Raises CheckpointError where it can't be used."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).split("\n", 1)[0]
        raise CheckpointError(f"device {name!r} can't be used here: {first}") from None
    return device


def check_files(folder: Path) -> None:
    """Raise CheckpointError where a safetensors file is damaged or the transformer has none."""
    if not list((folder / "transformer").glob("*.safetensors")):
        raise CheckpointError(
            f"checkpoint {folder} has no transformer weights (transformer/*.safetensors); "
            "save it with safe_serialization=True: other formats are not read"
        )
    for path in sorted(folder.glob("*/*.safetensors")):
        check_weights(path)


def check_weights(path: Path) -> None:
    """Raise CheckpointError where a safetensors file is missing or damaged (its header and its length)."""
    try:
        with safe_open(path, framework="pt") as stored:
            stored.keys()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is not there; fetch or save it again") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or save it again") from None


def weights_digest(folder: Path) -> str:
    """Twelve hex digits over all weight, config and tokenizer files of a folder."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json", ".txt")):
        total.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:12]


def versions() -> dict[str, str]:
    """Versions of everything that can change a number."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


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

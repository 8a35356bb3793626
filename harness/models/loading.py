"""Loading a checkpoint folder into diffusers, and naming what is wrong with it; and hashing what was loaded."""

from __future__ import annotations

import hashlib
import inspect
import json
import platform
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.hooks import apply_group_offloading
from safetensors import SafetensorError, safe_open

from harness.errors import CheckpointError
from harness.models import lora_loading, memory
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.pipeline_folder import INDEX, first_missing, header, shards, small_files, weight_files
from harness.models.checkpoints.resolve import OFFLOADS, Checkpoint

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


def load(checkpoint: Checkpoint, device: torch.device, *, offload: str = "none") -> Any:
    """The pipeline of a checkpoint, from its safetensors files alone, in eval mode on ``device``.

    ``offload`` leaves the weights in main memory: with ``model`` one component at a time is on the device, with
    ``group`` one layer.

    Raises CheckpointError: a class that this diffusers doesn't have, weights that don't fit into memory, a missing
    or damaged file, one that doesn't fit its config, a LoRA that doesn't fit the model; an unknown dtype or
    offload, or one that this device has no use for.
    """
    name = checkpoint.settings.dtype
    if name not in DTYPES:
        raise CheckpointError(f"unknown dtype {name!r}; there are {', '.join(DTYPES)}")
    pipeline_class = getattr(diffusers, checkpoint.family.pipeline, None)
    if pipeline_class is None:
        raise CheckpointError(f"diffusers {diffusers.__version__} has no {checkpoint.family.pipeline}; upgrade it")
    if checkpoint.lora is not None:
        lora_loading.check_support(pipeline_class, checkpoint.base)
    check_offload(offload, device)
    check_files(checkpoint.folder, checkpoint.hub_id)
    memory.check(checkpoint, device, offload)
    try:
        with no_bars():
            pipeline = pipeline_class.from_pretrained(
                checkpoint.folder, **dtype_argument(DTYPES[name]), use_safetensors=True, local_files_only=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError, TypeError) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise CheckpointError(f"checkpoint {checkpoint.folder} doesn't load: {first}; {checkpoint.again}") from error
    check_loaded(pipeline, checkpoint.folder)
    if checkpoint.lora is not None:
        with no_bars():
            lora_loading.put_on(pipeline, checkpoint.lora, checkpoint.base)
    for part in _modules(pipeline):
        part.eval().requires_grad_(False)
    return place(pipeline, device, offload)


def place(pipeline: Any, device: torch.device, offload: str) -> Any:
    """Move a pipeline to its device, or have diffusers fetch its weights from main memory as they are needed."""
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "group":
        # Without streams: those take the order of the first forward for that of all, which a plan changes.
        for part in _modules(pipeline):
            apply_group_offloading(
                part, onload_device=device, offload_device=torch.device("cpu"), offload_type="leaf_level"
            )
    else:
        pipeline.to(device)
    return pipeline


def _modules(pipeline: Any) -> list[torch.nn.Module]:
    return [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]


def check_offload(offload: str, device: torch.device) -> None:
    """Raise CheckpointError for an unknown offload, or one on a device that has main memory already."""
    if offload not in OFFLOADS:
        raise CheckpointError(f"unknown offload {offload!r}; there are {', '.join(OFFLOADS)}")
    if offload != "none" and device.type == "cpu":
        raise CheckpointError(
            f"--dit-offload={offload} keeps weights in main memory until the GPU needs them, and this run is on the "
            "CPU, where they are in main memory anyway; leave it out, or give --dit-device"
        )


def check_loaded(pipeline: Any, folder: Path) -> None:
    """Compare a few values of every stored tensor with the loaded models, and look for weights that none was for.

    Another version may look for weights under another name, and then goes on with random ones and a warning.
    Raises CheckpointError naming the first weight that did not arrive, or that no file holds.
    """
    for name, part in pipeline.components.items():
        files = shards(folder / name)
        if files and isinstance(part, torch.nn.Module) and not getattr(part, "is_quantized", False):
            _check_part(name, part, files, folder)


def _check_part(name: str, part: torch.nn.Module, files: Sequence[Path], folder: Path) -> None:
    # A version may add or drop a prefix of its own, so the last parts of a name decide.
    loaded = {key.split(".", 1)[-1]: value for key, value in part.state_dict().items()} | part.state_dict()
    held: set[int] = set()  # by address, since tied weights are stored once
    for path in files:
        with safe_open(path, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118 - no mapping
                value = loaded.get(key, loaded.get(key.split(".", 1)[-1]))
                if value is not None:
                    held.add(value.data_ptr())
                piece = stored.get_slice(key)[:1].flatten()[:8] if stored.get_slice(key).get_shape() else None
                if piece is None or not piece.is_floating_point():
                    continue
                if value is None or not torch.equal(value[:1].flatten()[:8].cpu(), piece.to(value.dtype)):
                    raise CheckpointError(
                        f"checkpoint {folder}: {name} does not hold the stored weight {key!r} after loading, so "
                        f"this version of its library would run it with random weights; save {name} with "
                        "the version that is installed"
                    )
    for key, parameter in part.named_parameters():
        if parameter.is_meta or parameter.data_ptr() not in held:
            raise CheckpointError(
                f"checkpoint {folder}: no file holds the weight {key!r} that {name}/config.json asks for, so it would "
                f"be random; save or download {name} again, weights and config together"
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


def check_files(folder: Path, hub_id: str = "") -> None:
    """Raise CheckpointError where a pipeline's file is missing or damaged, or a model has no safetensors weights."""
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    first = first_missing(folder, index)
    if first is not None:
        raise CheckpointError(hub_cache.incomplete(folder, hub_id, first))
    for name, files in weight_files(folder, index).items():
        if not files and hub_id and not any((folder / name).glob("*.bin")):
            raise CheckpointError(hub_cache.incomplete(folder, hub_id, f"{name}/*.safetensors"))
        if not files:
            mend = "name another" if hub_id else "save it with safe_serialization=True"
            raise CheckpointError(
                f"checkpoint {hub_id or folder} has no {name} weights ({name}/*.safetensors); "
                f"{mend}: other formats are not read"
            )
        for path in files:
            header(path)


def check_weights(path: Path) -> None:
    """Raise CheckpointError where a safetensors file is missing or damaged (its header and its length)."""
    try:
        with safe_open(path, framework="pt") as stored:
            stored.keys()
    except FileNotFoundError:
        raise CheckpointError(f"{path} is not there; fetch or save it again") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or save it again") from None


def weights_digest(folder: Path, *more: Path) -> str:
    """Twelve hex digits over all weight, config and tokenizer files of a folder, and ``more`` files on top of it.

    Of a pipeline, only the files that are loaded count.
    """
    total = hashlib.sha256()
    for path in sorted(_files(folder)):
        total.update(path.relative_to(folder).as_posix().encode())
        total.update(_sha256(path))
    for path in more:
        total.update(_sha256(path))
    return total.hexdigest()[:12]


def _files(folder: Path) -> list[Path]:
    if not (folder / INDEX).exists():
        return [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json", ".txt")]
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return [*small_files(folder, index), *(p for files in weight_files(folder, index).values() for p in files)]


def _sha256(path: Path) -> bytes:
    """Of a file's content; in the hub's cache, a large file's blob is named by it, which saves reading 30 GB."""
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return bytes.fromhex(blob.name)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def versions(*more: str) -> dict[str, str]:
    """Versions of everything that can change a number; ``more`` are packages that only this run uses."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *more):
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


@cache
def machine(device: torch.device) -> str:
    """Twelve hex digits for what decides the last bit beside versions: processor, torch build, GPU, its libraries."""
    return _digest(_parts(device))


@cache
def processor(device: torch.device) -> str:
    """As :func:`machine`, whatever instruction set torch was told to use: for what holds under all of them."""
    usage = "CPU capability usage"
    return _digest(["\n".join(line for line in part.split("\n") if usage not in line) for part in _parts(device)])


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

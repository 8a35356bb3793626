"""Loading a checkpoint folder into diffusers, and naming what is wrong with it; and hashing what was loaded."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from diffusers.hooks import apply_group_offloading
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from harness.errors import CheckpointError, first_line
from harness.files import parse_json
from harness.models import lora_loading, memory
from harness.models.checkpoints.block_numbers import renumbered
from harness.models.checkpoints.pipeline_folder import header, shards, weights_folder
from harness.models.checkpoints.resolve import OFFLOADS, Checkpoint
from harness.models.checkpoints.weight_files import check_files
from harness.models.diffusers_since import not_in_this_release
from harness.spelling import did_you_mean

_MISSING_BLOCKS = 4  # so few are built, and named by their weights
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}
# What building models from a foreign config raises.
_FAILURES = (
    *(OSError, ValueError, RuntimeError, SafetensorError, LookupError, TypeError, AttributeError, ImportError),
    *(ArithmeticError, AssertionError, MemoryError),
)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        raise CheckpointError(f"unknown dtype {name!r}{did_you_mean(name, DTYPES)}; there are {', '.join(DTYPES)}")
    pipeline_class = getattr(diffusers, checkpoint.family.pipeline, None)
    if pipeline_class is None:
        raise CheckpointError(not_in_this_release(checkpoint.family.pipeline))
    if checkpoint.lora is not None:
        lora_loading.check_support(pipeline_class, checkpoint.base)
    _check_offload(offload, device)
    check_files(checkpoint.folder, checkpoint.hub_id)
    _check_classes(checkpoint)
    _check_size(checkpoint)
    memory.check(checkpoint, device, offload)
    try:
        with no_bars():
            how = {**dtype_argument(DTYPES[name]), "use_safetensors": True, "local_files_only": True}
            held_elsewhere = _held_elsewhere(checkpoint, how) | _renumbered(checkpoint, DTYPES[name])
            pipeline = pipeline_class.from_pretrained(checkpoint.folder, **how, **held_elsewhere)
    except _FAILURES as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} doesn't load: {first_line(error)}; {checkpoint.again}"
        ) from error
    check_loaded(pipeline, checkpoint.folder, lambda key: renumbered(key, checkpoint.family, checkpoint.block_numbers))
    if checkpoint.lora is not None:
        with no_bars():
            lora_loading.put_on(pipeline, checkpoint.lora, checkpoint.base)
    for part in _modules(pipeline):
        part.eval().requires_grad_(False)
    return place(pipeline, device, offload)


def _held_elsewhere(checkpoint: Checkpoint, how: Mapping[str, Any]) -> dict[str, Any]:
    """The components whose weights another bundled folder holds, by name, loaded by ``from_pretrained(**how)``."""
    loaded: dict[str, Any] = {}
    for name, value in checkpoint.index.items():
        folder = checkpoint.folder / name
        if isinstance(value, list) and weights_folder(folder) != folder:
            kind = getattr(_LIBRARIES[value[0]], value[1])
            loaded[name] = kind.from_pretrained(weights_folder(folder), **how)
    return loaded


def _renumbered(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Any]:
    """The transformer of a checkpoint whose blocks have other numbers in its files; nothing for every other one."""
    if not checkpoint.block_numbers:
        return {}
    folder = checkpoint.folder / "transformer"
    kind = getattr(diffusers, checkpoint.family.transformer)
    with init_empty_weights(include_buffers=False):
        model = kind.from_config(kind.load_config(folder, local_files_only=True))
    weights: dict[str, torch.Tensor] = {}
    for path in shards(folder):
        weights |= {
            renumbered(key, checkpoint.family, checkpoint.block_numbers): tensor
            for key, tensor in load_file(path).items()
        }
    model.load_state_dict(weights, assign=True)
    return {"transformer": model.to(dtype)}


def _check_classes(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where a component's class is not in the installed version of its library."""
    for name, value in checkpoint.index.items():
        library, kind = value if isinstance(value, list) and len(value) == 2 else (None, None)
        if library in _LIBRARIES and not name.startswith("_") and not hasattr(_LIBRARIES[library], str(kind)):
            version = _LIBRARIES[library].__version__
            raise CheckpointError(
                f"checkpoint {checkpoint.hub_id or checkpoint.folder}: {library} {version} has no {kind}, which its "
                f"{name} is; install another {library}"
            )


def _check_size(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError where the transformer's config describes a larger model than its files hold.

    It would be built first, with random weights: a slip of a digit takes all memory, or hours.
    """
    folder = checkpoint.folder / "transformer"
    stored = {name: tensor.shape for path in shards(folder) for name, tensor in header(path).items()}
    where = f"checkpoint {checkpoint.hub_id or checkpoint.folder}: transformer/config.json"
    for stack in checkpoint.family.stacks:
        blocks = {name.split(".")[1] for name in stored if name.startswith(f"{stack.attribute}.")}
        if checkpoint.stacks[stack.name] > len(blocks) + _MISSING_BLOCKS:
            raise CheckpointError(
                f"{where} has {stack.length_key} {checkpoint.stacks[stack.name]}, and its files hold {len(blocks)} "
                f"blocks; {checkpoint.again}"
            )
    config = parse_json((folder / "config.json").read_text(encoding="utf-8"))
    keys = checkpoint.family.width_keys
    heads, width = config.get(keys.heads), config.get(keys.head_width)
    largest = max((size for shape in stored.values() for size in shape), default=0)
    if isinstance(heads, int) and isinstance(width, int) and heads * width > largest:
        raise CheckpointError(
            f"{where} describes layers of width {heads * width} ({keys.heads} {heads}, {keys.head_width} {width}), and "
            f"none of its weights is larger than {largest}; {checkpoint.again}"
        )


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


def _check_offload(offload: str, device: torch.device) -> None:
    """Raise CheckpointError for an unknown offload, or one on a device that has main memory already."""
    if offload not in OFFLOADS:
        raise CheckpointError(
            f"unknown offload {offload!r}{did_you_mean(offload, OFFLOADS)}; there are {', '.join(OFFLOADS)}"
        )
    if offload != "none" and device.type == "cpu":
        raise CheckpointError(
            f"--dit-offload={offload} keeps weights in main memory until the GPU needs them, and this run is on the "
            "CPU, where they are in main memory anyway; leave it out, or give --dit-device"
        )


def check_loaded(pipeline: Any, folder: Path, rename: Callable[[str], str] = lambda key: key) -> None:
    """Compare a few values of every stored tensor with the loaded models, and look for weights that none was for.

    Another version may look for weights under another name, and then goes on with random ones and a warning.
    ``rename`` gives the name under which a stored weight of the transformer was loaded.
    Raises CheckpointError naming the first weight that did not arrive, or that no file holds.
    """
    for name, part in pipeline.components.items():
        files = shards(folder / name)
        if files and isinstance(part, torch.nn.Module) and not getattr(part, "is_quantized", False):
            _check_part(name, part, files, folder, rename if name == "transformer" else lambda key: key)


def _check_part(
    name: str, part: torch.nn.Module, files: Sequence[Path], folder: Path, rename: Callable[[str], str]
) -> None:
    loaded = part.state_dict()
    by_end: dict[str, list[str]] = defaultdict(list)
    for key in loaded:
        by_end[_end(key)].append(key)
    held: set[int] = set()  # by address, since tied weights are stored once
    for path in files:
        with safe_open(path, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118 - no mapping
                values = [loaded[other] for other in _renamed(rename(key), by_end[_end(key)])]
                piece = stored.get_slice(key)[:1].flatten()[:8] if stored.get_slice(key).get_shape() else None
                if piece is None or not piece.is_floating_point():
                    held.update(value.data_ptr() for value in values)
                    continue
                if piece.isnan().any():
                    raise CheckpointError(
                        f"checkpoint {folder}: the weight {key!r} of {name} is not a number in {path.name}; fetch or "
                        "save it again"
                    )
                same = [v for v in values if torch.equal(v[:1].flatten()[:8].cpu(), piece.to(v.dtype))]
                held.update(value.data_ptr() for value in same)
                if not same:
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


def _end(key: str) -> str:
    return ".".join(key.split(".")[-2:])


def _renamed(key: str, names: Sequence[str]) -> list[str]:
    """The names under which a stored weight may be held: those that agree with it in the most parts, from the end.

    A version may add or drop a prefix of its own, or a part in the middle (``model.language_model.layers``).
    """
    parts = key.split(".")[::-1]

    def agreeing(name: str) -> int:
        pairs = zip(parts, name.split(".")[::-1], strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    most = max(map(agreeing, names), default=0)
    return [name for name in names if agreeing(name) == most]


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

"""Where a model's files are on this disk, and loading them without a download, a pickle or a page of words."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from harness.errors import CheckpointError, MetricError, first_line
from harness.files import file_sha256
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.pipeline_folder import shard_names
from harness.models.checkpoints.weight_files import check_weights
from harness.models.loading import no_bars
from harness.results.arrays import Images

# What reading a foreign file or building a foreign network raises.
FAILURES = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)
_MODEL_FILES = '--include "*.json" --include "*.txt" --include "model*.safetensors"'


@contextmanager
def quiet() -> Iterator[None]:
    """Loading without log lines and progress bars: what is wrong is said by an error of ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with no_bars():
            yield
    finally:
        logging.disable(before)


def torch_folder() -> Path:
    """Where torch keeps the weights that it downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def weight_file(name: str, where: str | None, file: str, fix: str) -> Path:
    """``where`` itself if it is a file, else ``file`` in that folder, by default in torch's own.

    ``fix`` may hold ``{path}``. Raises MetricError where it isn't there, is damaged, or is no safetensors file.
    """
    path = Path(where) if where else torch_folder() / file
    if path.is_dir():
        path /= file
    if path.exists() and path.suffix != ".safetensors":
        converted = path.with_suffix(".safetensors")
        raise MetricError(
            name, f"{path} is no safetensors file", f"convert it: python -m harness convert {path} {converted}"
        )
    if not path.exists():
        raise MetricError(name, f"no weights: {path.name} is not there", fix.format(path=path))
    checked(name, path)
    return path


def model_folder(name: str, where: str | None, repository: str, needed: Sequence[str]) -> Path:
    """A folder made by ``save_pretrained``: ``where``, or the hub cache's for a hub id, by default ``repository``.

    Raises MetricError where it, one of the files ``needed`` or a weight file isn't there, or is damaged.
    """
    if where and Path(where).is_dir():
        folder, fix = Path(where), f"save the whole model into {where} with save_pretrained"
    else:
        hub_id = where or repository
        if not hub_cache.is_id(hub_id):
            raise MetricError(name, f"{hub_id!r} is neither a folder nor a hub id", f"leave it out for {repository}")
        fix = f"run: {hub_cache.download(hub_id, _MODEL_FILES)}"
        found = hub_cache.snapshot(hub_id)
        if found is None:
            raise MetricError(name, f"no weights: {hub_id} is not in the hub cache", fix)
        folder = found
    missing = [file for file in needed if not (folder / file).exists()] or _missing_weights(folder)
    if missing:
        raise MetricError(name, f"no {missing[0]} in {folder}", fix)
    for path in sorted(folder.glob("model*.safetensors")):
        checked(name, path)
    return folder


def _missing_weights(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return [] if (folder / "model.safetensors").exists() else ["model.safetensors"]
    try:
        shards = shard_names(index)
    except CheckpointError:
        return [f"list of weight files that can be read ({index.name})"]
    return [shard for shard in shards if not (folder / shard).exists()]


def checked(name: str, path: Path) -> None:
    """Raise MetricError where a safetensors file is damaged."""
    try:
        check_weights(path)
    except CheckpointError:
        raise MetricError(name, f"{path} is damaged", "fetch or convert it again") from None


def file_digest(*paths: Path) -> str:
    """Twelve hex digits over the content of some files."""
    total = hashlib.sha256()
    for path in paths:
        total.update(bytes.fromhex(file_sha256(path)))
    return total.hexdigest()[:12]


def tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU."""
    return load_file(path)


def pretrained(name: str, kind: Any, folder: Path, device: torch.device) -> Any:
    """A model of a transformers class from a folder, in fp32 and eval mode, with every weight from its files.

    Raises MetricError where it doesn't load or a weight is not in the files: it would be a random one.
    """
    try:
        with quiet():
            model, told = kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except FAILURES as error:
        raise MetricError(name, f"{folder} doesn't load: {first_line(error)}", "fetch or save it again") from error
    absent = [*told["missing_keys"], *told["mismatched_keys"]]
    if absent:
        raise MetricError(
            name,
            f"the files in {folder} don't hold the weight {absent[0]!r} of a {kind.__name__}",
            "name the folder of such a model",
        )
    return frozen(model.float(), device)


def frozen(network: nn.Module, device: torch.device) -> Any:
    """The network on its device, in eval mode, without gradients."""
    return network.to(device).eval().requires_grad_(False)


def processor(name: str, kind: Any, folder: Path) -> Callable[[Images], Tensor]:
    """How a folder's preprocessor_config.json prepares (N, 3, H, W) uint8 images: as fp32 pixel values on the CPU.

    Raises MetricError where it can't be read.
    """
    try:
        with quiet():
            prepare = kind.from_pretrained(folder, local_files_only=True)
    except FAILURES as error:
        raise MetricError(
            name, f"the image processor in {folder} doesn't load: {first_line(error)}", "fetch or save it again"
        ) from error

    def pixels(images: Images) -> Tensor:
        found = prepare(list(images), input_data_format="channels_first", return_tensors="pt")["pixel_values"]
        assert isinstance(found, Tensor)
        return found.float()

    return pixels


def tokenizer(name: str, kind: Any, folder: Path) -> Any:
    """A folder's tokenizer. Raises MetricError where it can't be read."""
    try:
        with quiet():
            return kind.from_pretrained(folder, local_files_only=True)
    except FAILURES as error:
        raise MetricError(
            name, f"the tokenizer in {folder} doesn't load: {first_line(error)}", "fetch or save it again"
        ) from error

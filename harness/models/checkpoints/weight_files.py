"""A checkpoint's weight files: whether they are whole, and their digest."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from harness.errors import CheckpointError
from harness.files import file_sha256, parse_json
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.foreign_code import refuse_foreign_code
from harness.models.checkpoints.pipeline_folder import (
    INDEX,
    first_missing,
    header,
    name_inside,
    small_files,
    weight_files,
)


def check_files(folder: Path, hub_id: str = "") -> None:
    """Raise CheckpointError where a pipeline's file is missing or damaged, or a model has no safetensors weights.

    Also where the folder brings code of its own: it is about to be loaded.
    """
    index = parse_json((folder / INDEX).read_text(encoding="utf-8"))
    refuse_foreign_code(folder, index, hub_id)
    first = first_missing(folder, index)
    if first is not None:
        raise CheckpointError(hub_cache.incomplete(folder, hub_id, first))
    for path in (*small_files(folder, index), *(p for files in weight_files(folder, index).values() for p in files)):
        if path.exists() and not path.is_file():
            # A pipe, say, which would be waited for without end.
            raise CheckpointError(f"{path} is no file; fetch or save it again")
    for name, files in weight_files(folder, index).items():
        if not files and hub_id and not any((folder / name).glob("*.bin")):
            raise CheckpointError(hub_cache.incomplete(folder, hub_id, f"{name}/*.safetensors"))
        if not files:
            fix = "name another" if hub_id else "save it with safe_serialization=True"
            raise CheckpointError(
                f"checkpoint {hub_id or folder} has no {name} weights ({name}/*.safetensors); "
                f"{fix}: other formats are not read"
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

    Of a pipeline, only the files that are loaded count; the bundled autoencoder's as if each folder had a copy.
    """
    total = hashlib.sha256()
    for path in sorted(_files(folder), key=lambda path: Path(name_inside(folder, path))):
        total.update(name_inside(folder, path).encode())
        total.update(_sha256(path))
    for path in more:
        total.update(_sha256(path))
    return total.hexdigest()[:12]


def _files(folder: Path) -> list[Path]:
    if not (folder / INDEX).exists():
        return [p for p in folder.rglob("*") if p.suffix in (".safetensors", ".json", ".txt")]
    index = parse_json((folder / INDEX).read_text(encoding="utf-8"))
    return [*small_files(folder, index), *(p for files in weight_files(folder, index).values() for p in files)]


def _sha256(path: Path) -> bytes:
    """Of a file's content; in the hub's cache, a large file's blob is named by it, which saves reading 30 GB."""
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return bytes.fromhex(blob.name)
    return bytes.fromhex(file_sha256(path))

"""A folder of what a lab needs again in its next run: prompt embeddings, and the control's images of each seed.

Every file is named by the SHA-256 of the whole fingerprint that it was made under (weights, prompts, judge, sampling,
versions, machine, threads ...) and of what it holds. Under another fingerprint it is another file: nothing has to be
compared, and nothing can be taken for what it is not.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from harness._version import __version__
from harness.errors import HarnessError
from harness.files import replacing
from harness.models.spec import CACHE_GB
from harness.results.fingerprint import Fingerprint

_SCHEMA = "1"
_SUFFIX = ".safetensors"


@dataclass
class Cache:
    """Tensors by what they are and the fingerprint that they were made under.

    ``limit`` is how many bytes the files may have together: what was not used for longest goes first. Several processes
    may use one folder: a file appears whole or not at all. ``notes`` say what could not be read or written; then the
    lab measures as it would without a cache.
    """

    folder: Path
    limit: int = CACHE_GB * 10**9
    notes: list[str] = field(default_factory=list[str])

    def load(self, what: str, fingerprint: Fingerprint) -> dict[str, Tensor] | None:
        """The tensors that are kept as ``what``; None where there are none, or where the file is damaged."""
        path = self._path(what, fingerprint)
        if not path.exists():
            return None
        try:
            with safe_open(path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                stored = (file.metadata() or {}).get("content")
            path.touch()  # what was used last goes last
        except (OSError, SafetensorError) as error:
            self._without(f"{path} can't be read: {error}")
            return None
        if stored != _content(tensors):
            self._without(f"{path} is damaged")
            return None
        return tensors

    def save(self, what: str, fingerprint: Fingerprint, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors, and remove the files that are then too many."""
        path = self._path(what, fingerprint)
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        size = sum(tensor.nbytes for tensor in plain.values())
        if size > self.limit:
            self._without(f"{what} of {fingerprint.checkpoint} are {size:,} bytes, more than the cache may hold")
            return
        about = {"schema": _SCHEMA, "what": what, "fingerprint": _plain(fingerprint), "content": _content(plain)}
        try:
            with replacing(path) as temporary:
                save_file(plain, temporary, about)
        except (HarnessError, SafetensorError) as error:
            self._without(str(error))
            return
        self._shrink(keep=path)

    def _path(self, what: str, fingerprint: Fingerprint) -> Path:
        key = "\n".join((_SCHEMA, __version__, what, _plain(fingerprint)))
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}{_SUFFIX}"

    def _shrink(self, keep: Path) -> None:
        files: list[tuple[float, int, Path]] = []
        for path in self.folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # another process removed it
                facts = path.stat()
                files.append((facts.st_mtime, facts.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit:
                return
            if path != keep:
                with suppress(OSError):
                    path.unlink()
                total -= size

    def _without(self, why: str) -> None:
        note = f"cache: {why}; measured without it"
        if note not in self.notes:
            self.notes.append(note)


def _plain(fingerprint: Fingerprint) -> str:
    return json.dumps(dataclasses.asdict(fingerprint), sort_keys=True)


def _content(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

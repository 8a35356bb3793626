"""Files: written whole or not at all, their SHA-256, and strict JSON."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError

_PARTIAL = ".partial"
_LEFT_OVER = 3600.0  # seconds after which a temporary file is nobody's


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty temporary file beside ``path``, to be written inside the ``with`` block; it then replaces ``path``.

    The replacement is one step: whoever reads ``path`` sees the old file or the whole new one. Where the block raises,
    the temporary file is removed and the old file is intact. Raises HarnessError for every OSError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PARTIAL)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HarnessError(f"can't write {path}: {error.strerror or error}") from None


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files that a killed process left beside ``path``; a young one may be another process's."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*{_PARTIAL}"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _LEFT_OVER:
                leftover.unlink()


def write_atomically(path: Path, data: str | bytes) -> None:
    """Replace a file in one step; text as UTF-8. Raises HarnessError where that fails; the old file is then intact."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def write_each(texts: Mapping[Path, str], problem: Callable[[str], None]) -> list[Path]:
    """Write texts into files; the paths of those that could be. ``problem`` is called with a line for each other."""
    written: list[Path] = []
    for path, text in texts.items():
        try:
            write_atomically(path, text)
        except HarnessError as error:
            problem(str(error))
        else:
            written.append(path)
    return written


def why_not_made(folder: Path) -> str:
    """Why nothing can be written into a folder, or it can't be made; empty where both seem possible.

    Nothing is made: this is for what is to be said before the work that the folder is for.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        return f"{there} is no folder"
    return "" if os.access(there, os.W_OK) else f"{there} can't be written into"


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, 64 hex digits. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_json(text: str, *, unique: bool = False) -> Any:
    """What a JSON text holds. Raises ValueError; also for NaN and Infinity, and for lists nested too deeply to read.

    With ``unique`` also for a key that an object has twice, as after a merge: the first one would be lost.
    """
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique if unique else None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{twice[:120]!r} is there twice")
    return table


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no stored value")

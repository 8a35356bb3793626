"""Files: written whole or not at all, their SHA-256, and strict JSON."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import HarnessError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty temporary file beside ``path``, to be written inside the ``with`` block; it then replaces ``path``.

    The replacement is one step: whoever reads ``path`` sees the old file or the whole new one. Where the block raises,
    the temporary file is removed and the old file is intact. Raises HarnessError for every OSError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
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


def write_atomically(path: Path, data: str | bytes) -> None:
    """Replace a file in one step; text as UTF-8. Raises HarnessError where that fails; the old file is then intact."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, 64 hex digits. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_json(text: str) -> Any:
    """What a JSON text holds. Raises ValueError; also for NaN and Infinity, and for lists nested too deeply to read."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no stored value")

"""Files: written whole or not at all, and what strict JSON and TOML values are."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import Any

from harness.errors import HarnessError


def write_atomically(path: Path, data: str | bytes) -> None:
    """Replace a file in one step; text as UTF-8. Raises HarnessError where that fails; the old file is then intact."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data.encode("utf-8") if isinstance(data, str) else data)
            os.chmod(fresh, 0o644)
            os.replace(fresh, path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise HarnessError(f"can't write {path}: {error.strerror or error}") from None


def no_constant(name: str) -> float:
    """For json.loads: NaN and Infinity are no stored values. Raises ValueError."""
    raise ValueError(f"{name} is no stored value")


def number(value: Any) -> float:
    """A finite number. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def text(value: Any) -> str:
    """A text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value

"""The name of a run, which is that of its folder: how a new one is made, and which names are allowed."""

from __future__ import annotations

import hashlib
import re
import time

RULE = "only letters, digits, '.', '_' and '-', as it names a folder"


def new_name() -> str:
    """The time and four hex digits: ``20261122-033649-71f9``."""
    return time.strftime("%Y%m%d-%H%M%S") + "-" + hashlib.sha256(str(time.time_ns()).encode()).hexdigest()[:4]


def is_name(text: str) -> bool:
    """Whether a run may be called so (:data:`RULE`)."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) is not None

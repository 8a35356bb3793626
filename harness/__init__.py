"""Layer ablations of diffusion transformers as test cases, and as a library.

``from harness import ablate, Lab, load, rank, sweep``: see docs/library.md. Importing the package loads none of
torch, diffusers or pandas; each name loads what it needs when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness._version import __version__ as __version__

if TYPE_CHECKING:
    from harness.api import load, rank, sweep
    from harness.lab.lab import Lab
    from harness.surgery.view import ablate


__all__ = ["Lab", "ablate", "load", "rank", "sweep"]

_HOMES = {
    "Lab": "harness.lab.lab",
    "ablate": "harness.surgery.view",
    "load": "harness.api",
    "rank": "harness.api",
    "sweep": "harness.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Changes that a gate must not see: other threads, batches, kernels, instruction sets, one ulp of noise.

``--dit-perturb batch=16`` makes a run under one of them; ``--dit-calibrate`` makes several and measures from them
how far values move when nothing is wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.errors import OptionError
from harness.spelling import did_you_mean

# What torch, oneDNN and MKL read when they are loaded, so it must be set before.
CAPABILITIES: Mapping[str, Mapping[str, str]] = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "default": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}


@dataclass(frozen=True)
class Kind:
    """A way of changing what shouldn't matter. ``takes`` says what a value may be, ``fits`` whether one is."""

    about: str
    takes: str
    fits: Callable[[str], bool]


def _whole(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,4}", text) is not None and int(text) >= 1


KINDS: Mapping[str, Kind] = {
    "threads": Kind("torch's threads on the CPU", "a number from 1 to 9999", _whole),
    "batch": Kind("images generated at once", "a number from 1", _whole),
    "sdpa": Kind("the attention kernel", "math or flash", lambda text: text in ("math", "flash")),
    "cpu": Kind("the CPU's instruction set", " or ".join(CAPABILITIES), lambda text: text in CAPABILITIES),
    "ulp": Kind("steps of the last bit in the initial latents", "a number from 1", _whole),
    "compile": Kind("torch.compile, block by block", "1", lambda text: text == "1"),
}


@dataclass(frozen=True)
class Perturbation:
    """One change: ``str`` gives ``batch=16`` back."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}={self.value}"


def read(text: str) -> Perturbation:
    """Read ``batch=16``. Raises OptionError naming what there is."""
    kind, equals, value = text.partition("=")
    if kind not in KINDS or not equals:
        known = ", ".join(f"{name}={KINDS[name].takes}" for name in KINDS)
        raise OptionError(f"unknown perturbation {text!r}{did_you_mean(kind, KINDS)}; there are {known}")
    if not KINDS[kind].fits(value):
        raise OptionError(f"perturbation {text!r}: {kind} is {KINDS[kind].takes}")
    return Perturbation(kind, value)


def before_torch(perturbations: tuple[Perturbation, ...]) -> None:
    """Set what must be set before torch is loaded. Raises OptionError where it already is."""
    for perturbation in perturbations:
        if perturbation.kind == "cpu":
            if "torch" in sys.modules:
                raise OptionError(f"{perturbation} must be set before torch is loaded; run it in a pytest of its own")
            os.environ.update(CAPABILITIES[perturbation.value])


def choose(count: int, cores: int, batch: int, capability: str) -> list[Perturbation]:
    """The first ``count`` perturbations that mean something on this machine, the most different ones first.

    ``capability`` is what torch calls the CPU's instruction set (``AVX512``), or a GPU's (``sm90``).
    Raises OptionError where there are fewer.
    """
    cuda = capability.startswith("sm")
    below = {"AVX512": ("avx2", "default"), "AVX2": ("default",)}.get(capability.upper(), ())
    wanted = [
        *(f"cpu={name}" for name in below[:1]),
        *(f"batch={n}" for n in (max(1, batch // 4),) if n != batch),
        *(["threads=1"] if not cuda and cores > 1 else []),
        "ulp=1",
        "sdpa=math",
        *(["compile=1"] if cuda or shutil.which("c++") else []),
        *(f"cpu={name}" for name in below[1:]),
        *(f"batch={n}" for n in (max(1, batch // 2), max(1, batch // 8)) if n != batch),
        "ulp=2",
    ]
    perturbations = [read(text) for text in dict.fromkeys(wanted)]
    if not 1 <= count <= len(perturbations):
        raise OptionError(f"there are 1 to {len(perturbations)} perturbations to calibrate under here, not {count}")
    return perturbations[:count]

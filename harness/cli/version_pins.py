"""What is installed beside a version of diffusers.

Imports nothing but the standard library: noxfile.py reads it in an environment where nothing else is installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# The oldest versions that are supported, with what else must be older beside them. The newest are the registry's.
OLDEST = {"diffusers": "==0.33.1", "transformers": "==4.51.3", "huggingface_hub": "<1", "tokenizers": "<0.22"}
NEWEST = dict.fromkeys(OLDEST, "")

# By label, what is installed instead of the constraints' versions: package -> specifier ("" for the newest).
LABELS: dict[str, dict[str, str]] = {
    "0.33.1": OLDEST,
    "0.35.2": {**OLDEST, "diffusers": "==0.35.2", "transformers": "==4.56.2", "tokenizers": "<0.23"},
    "pinned": {},
    "newest": NEWEST,
}

_LAST_WITH_OLD_HUB = (0, 40)  # diffusers 0.36 to 0.40 need huggingface_hub < 2


def pins(label: str) -> Mapping[str, str] | None:
    """Package -> specifier for a label: one of LABELS, or any release of diffusers; None for anything else.

    Up to 0.40 a release gets the oldest transformers, so that a bisection there changes diffusers alone; from 0.41 on
    it gets the newest that the registry has.
    """
    if label in LABELS:
        return LABELS[label]
    if not is_release(label):
        return None
    major, minor, _ = map(int, label.split("."))
    beside = OLDEST if (major, minor) <= _LAST_WITH_OLD_HUB else NEWEST
    return {**beside, "diffusers": f"=={label}"}


def is_release(label: str) -> bool:
    """Whether a label is written as a release: ``0.33.1``."""
    return re.fullmatch(r"\d+\.\d+\.\d+", label) is not None


def constraint_lines(lines: Iterable[str], instead: Mapping[str, str]) -> list[str]:
    """A constraints file's lines, in which the packages of ``instead`` have their specifiers (none where it is "")."""
    kept = [line for line in lines if line.strip() and package(line) not in instead]
    return [*kept, *(name + specifier for name, specifier in instead.items() if specifier)]


def package(requirement: str) -> str:
    """The package that a line of a constraints file is about, in lower case with underscores."""
    return re.split(r"[=<>~!;\[( #]", requirement.strip(), maxsplit=1)[0].replace("-", "_").lower()

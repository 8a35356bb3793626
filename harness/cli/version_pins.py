"""What is installed for a version of diffusers, or of a package that it stands on.

Imports nothing but the standard library: noxfile.py reads it in an environment where nothing else is installed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

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

MAIN = "main"  # the label of diffusers' main branch
GIT = "git+"  # what a git reference begins with, as pip writes it
_REPOSITORY = "git+https://github.com/huggingface/diffusers"

# What has to fit a package, and is therefore free where another version of it is asked for.
_COMPANIONS = {
    "diffusers": ("transformers", "huggingface_hub", "tokenizers"),
    "transformers": ("huggingface_hub", "tokenizers"),
    "torch": ("torchvision",),
}
_NEWEST = "newest"

_LAST_WITH_OLD_HUB = (0, 40)  # diffusers 0.36 to 0.40 need huggingface_hub < 2


def pins(label: str) -> Mapping[str, str] | None:
    """Package -> specifier for a label; None for one that is no version of a registry's package.

    A label is one of LABELS, a release of diffusers, or packages with their releases (``transformers==4.56.2``, or
    ``newest`` for one; several with commas between them). Up to 0.40 a release of diffusers gets the oldest
    transformers, so that a bisection there changes diffusers alone; from 0.41 on it gets the newest that the registry
    has. Beside any other package everything is as in the constraints, except for what has to fit it.
    """
    if label in LABELS:
        return LABELS[label]
    named = named_versions(label)
    if len(named) == 1 and _is_release(named.get("diffusers", "")):
        label = named["diffusers"]
    elif named:
        free = dict.fromkeys((other for name in named for other in _COMPANIONS.get(name, ())), "")
        return free | {name: "" if version == _NEWEST else f"=={version}" for name, version in named.items()}
    if not _is_release(label):
        return None
    major, minor, _ = map(int, label.split("."))
    beside = OLDEST if (major, minor) <= _LAST_WITH_OLD_HUB else NEWEST
    return {**beside, "diffusers": f"=={label}"}


def named_versions(label: str) -> dict[str, str]:
    """Package -> version of a label like ``transformers==4.56.2,accelerate==newest``; empty for any other label."""
    parts = [re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.+!]+)", part.strip()) for part in label.split(",")]
    return {package(part[1]): part[2] for part in parts if part} if all(parts) else {}


def releases_asked_for(label: str) -> dict[str, str]:
    """Package -> release that a label wants of the registry; ``newest`` asks for none."""
    if _is_release(label):
        return {"diffusers": label}
    return {name: version for name, version in named_versions(label).items() if version != _NEWEST}


def label_of(version: str, package: str) -> str:
    """The label of a package's version, where versions of that package are asked for: ``transformers==4.56.2``."""
    bare = version == _NEWEST or re.fullmatch(r"\d+(\.\d+)*((a|b|rc)\d+)?(\.(post|dev)\d+)?", version) is not None
    return f"{package}=={version}" if bare and package != "diffusers" else version


def git_reference(label: str) -> tuple[str, str] | None:
    """The repository (as pip writes it) and the branch, tag or commit of a label; None for any other label."""
    if label == MAIN:
        return _REPOSITORY, MAIN
    if not label.startswith(GIT):
        return None
    # An @ before the repository's path belongs to the address: git+ssh://git@host/path.
    scheme, _, address = label.partition("://")
    host, slash, path = address.partition("/")
    path, at, reference = path.partition("@")
    return (f"{scheme}://{host}{slash}{path}", reference) if at else (label, "HEAD")


def distinct_names(labels: Sequence[str]) -> list[str]:
    """The short names of labels. Folders of one name have names of folders above them, too: ``pr-diffusers``.

    The same label, or the same folder, twice has the same name twice.
    """
    names = [short_name(label) for label in labels]
    folders = {place: Path(label).resolve().parts for place, label in enumerate(labels) if _is_folder(label)}
    for parts_shown in range(2, max((len(parts) for parts in folders.values()), default=0)):
        counts = Counter(names)
        for place, parts in folders.items():
            if counts[names[place]] > 1:
                names[place] = "-".join(parts[1:][-parts_shown:])
    return names


def _is_folder(label: str) -> bool:
    return pins(label) is None and git_reference(label) is None


def short_name(label: str) -> str:
    """A label as the name of a folder and as the heading of a column: ``transformers-4.56.2``, ``diffusers-main``."""
    reference = git_reference(label)
    if reference is not None and label != MAIN:
        repository, branch = reference
        label = f"{repository.rstrip('/').rpartition('/')[2].removesuffix('.git')}-{branch}"
    elif not named_versions(label):
        return Path(label).resolve().name
    return re.sub(r"[^\w.+]+", "-", label.replace("==", "-"))


def _is_release(label: str) -> bool:
    """Whether a label is written as a release: ``0.33.1``."""
    return re.fullmatch(r"\d+\.\d+\.\d+", label) is not None


def constraint_lines(lines: Iterable[str], instead: Mapping[str, str]) -> list[str]:
    """A constraints file's lines, in which the packages of ``instead`` have their specifiers (none where it is "")."""
    kept = [line for line in lines if line.strip() and package(line) not in instead]
    return [*kept, *(name + specifier for name, specifier in instead.items() if specifier)]


def package(requirement: str) -> str:
    """The package that a line of a constraints file is about, in lower case with underscores."""
    return re.split(r"[=<>~!;\[( #]", requirement.strip(), maxsplit=1)[0].replace("-", "_").lower()

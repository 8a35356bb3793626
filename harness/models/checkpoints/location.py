"""Where the name of a checkpoint leads: the package, a folder, the hub's cache, or another package's checkpoints."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import extensions
from harness.ablation.case import slug
from harness.errors import CheckpointError
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints import published as known
from harness.models.checkpoints.general_family import general_family
from harness.models.checkpoints.pipeline_folder import BUNDLED, INDEX
from harness.models.checkpoints.published import PUBLISHED, PublishedCheckpoint
from harness.models.spec import FAMILIES, Family
from harness.spelling import did_you_mean


@dataclass(frozen=True)
class Location:
    """Where a name leads, before anything there is read."""

    name: str
    folder: Path
    hub_id: str = ""
    known: PublishedCheckpoint | None = None
    bundled: bool = False


def bundled_names() -> list[str]:
    """The checkpoints that come with the package."""
    return sorted(p.parent.name for p in BUNDLED.glob(f"*/{INDEX}"))


def added() -> Mapping[str, extensions.Added]:
    """The checkpoints of other packages, by name. Raises ExtensionError, also where one has a name of ours."""
    return extensions.checkpoints(frozenset({*bundled_names(), *PUBLISHED}))


def locate(name: str, revision: str | None = None) -> Location:
    """Where a checkpoint of that name is on this disk; ``revision`` is of a hub id. Raises CheckpointError."""
    given = None if Path(name).exists() else added().get(name)
    if given is None:
        return _own(name, revision)
    try:
        return replace(_own(given.where, revision), name=name)
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {name!r} of package {given.package}: {error}") from None


def _own(name: str, revision: str | None) -> Location:
    if revision is not None and (name in bundled_names() or Path(name).exists()):
        raise CheckpointError(f"checkpoint {name!r} is on this disk, and only hub ids have a revision ({revision!r})")
    if name in bundled_names():
        return Location(name, BUNDLED / name, bundled=True)
    folder = Path(name)
    if folder.is_dir():
        return Location(_folder_name(folder), folder)
    if folder.is_file():
        raise CheckpointError(
            f"checkpoint {name!r} is a file, not a folder; a folder is one made by a diffusers pipeline's "
            "save_pretrained"
        )
    real = known.find(name)
    if real is None and not hub_cache.is_id(name):
        start = (
            f"checkpoint {name!r} is neither a bundled checkpoint nor a folder, nor the name of a real one or a hub id"
        )
        if guess := _guess(name):
            raise CheckpointError(f"{start}{guess}; python -m harness list shows all names")
        raise CheckpointError(
            f"{start}; bundled are {', '.join(bundled_names()) or 'none'}, "
            f"real ones {', '.join((*PUBLISHED, *added()))}, a hub "
            "id is like org/name, a folder is one made by a diffusers pipeline's save_pretrained"
        )
    hub_id = real.hub_id if real else name
    snapshot = hub_cache.snapshot(hub_id, "main" if revision is None else revision)
    if snapshot is None and revision is not None:
        raise CheckpointError(
            f"checkpoint {name!r}: revision {revision!r} is not in the hub cache {hub_cache.cache()}; download it: "
            f"{hub_cache.download(hub_id, revision=shlex.quote(revision))}"
        )
    if snapshot is None:
        if hub_cache.begun(hub_id):
            raise CheckpointError(hub_cache.incomplete(hub_cache.repository(hub_id), hub_id, INDEX))
        size = real.gigabytes if real else None
        raise CheckpointError(
            hub_cache.missing(
                name,
                hub_id,
                size,
                guess=_guess(hub_id),
                check=lambda index: family_of(index, f"checkpoint {name!r} (not downloaded yet)"),
            )
        )
    return Location(real.name if real else slug(hub_id), snapshot, hub_id, real)


def _guess(name: str) -> str:
    """`` (did you mean 'flux-tiny'?)`` for what was probably meant by a name; empty where nothing is near."""
    known_names = [*bundled_names(), *PUBLISHED, *added(), *(real.hub_id for real in PUBLISHED.values())]
    # The folder that a name was typed with makes no difference to what was meant.
    return "" if name in known_names else did_you_mean(name.rstrip("/").removeprefix("./"), known_names, alike=0.75)


def _folder_name(folder: Path) -> str:
    """A folder's name in ids and baselines; one that is called like a bundled checkpoint must not get its baselines."""
    name = slug(folder.resolve().name)
    taken = name in bundled_names() and not folder.samefile(BUNDLED / name)
    return f"{name}-folder" if taken else name


def family_of(index: Mapping[str, Any], what: str) -> Family:
    """The family of a model_index.json: the table's, or for any other pipeline one that is read from its source.

    Raises CheckpointError, about ``what``, for a pipeline that doesn't make images from prompts alone.
    """
    parts = index.get("transformer")
    if not isinstance(parts, list) or len(parts) != 2 or parts[1] is None:
        raise CheckpointError(
            f"{what}: model_index.json names no transformer (a {index.get('_class_name')}); "
            "this harness ablates diffusion transformers"
        )
    family = FAMILIES.get(str(parts[1]))
    known = family is not None and index.get("_class_name") == family.pipeline
    return family if family is not None and known else general_family(index, what)

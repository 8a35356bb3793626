"""What is known of checkpoints without loading them: names, folders, the hub's cache, config.json.

Nothing here imports torch: ids are made at collection, from a folder's ``transformer/config.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from harness.errors import CheckpointError, DataError
from harness.files import file_sha256, parse_json
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints import lora_file as lora
from harness.models.checkpoints import published as known
from harness.models.checkpoints.block_numbers import BlockNumbers, lacking_numbers, numbers_with_holes
from harness.models.checkpoints.foreign_code import refuse_foreign_code
from harness.models.checkpoints.general_family import MODULAR_INDEX, modular_reason, with_present_stacks
from harness.models.checkpoints.location import Location, added, bundled_names, family_of, locate
from harness.models.checkpoints.pictures import check_settings
from harness.models.checkpoints.pipeline_folder import BUNDLED, INDEX
from harness.models.checkpoints.published import PUBLISHED, PublishedCheckpoint
from harness.models.spec import DTYPES, FAMILIES, OFFLOADS, Family, Settings, Stack, full_dtype
from harness.results.serialise import from_plain, no_unknown_fields, to_plain
from harness.spelling import did_you_mean

__all__ = [
    "BUNDLED",
    "DTYPES",
    "FAMILIES",
    "OFFLOADS",
    "PUBLISHED",
    "SETTINGS_FILE",
    "Checkpoint",
    "Family",
    "PublishedCheckpoint",
    "Settings",
    "Stack",
    "added",
    "blueprint",
    "bundled_names",
    "resolve",
    "transformer_config",
]

SETTINGS_FILE = "harness.json"
_MOST_BLOCKS = 10_000  # of a stack: a config may say anything
_LORA = "-lora-"  # between a checkpoint's name and the LoRA's digest


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that has been looked at, not loaded. ``stacks`` maps a stack to its blocks.

    ``index`` is its model_index.json; ``hub_id`` is empty for a folder; ``lora`` is a file that goes on top.
    ``batch_given`` says that somebody has decided how many images are made at once; else a GPU takes as many as fit.
    ``block_numbers`` are those that blocks have in the files where they aren't 0, 1, 2, ..., and ``lacks`` says which
    or how many blocks somebody has pruned, as far as that is known; else it is empty.
    """

    name: str
    folder: Path
    family: Family
    stacks: Mapping[str, int]
    settings: Settings
    bundled: bool
    index: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hub_id: str = ""
    lora: Path | None = None
    batch_given: bool = False
    block_numbers: BlockNumbers = field(default_factory=dict[str, tuple[int, ...]])
    lacks: str = ""

    def has_stack(self, name: str) -> bool:
        """Whether it has the stack of that name, ours (``double``) or that of diffusers (``transformer_blocks``)."""
        return self.family.diffusers_names.get(name, name) in self.stacks

    @property
    def judge_folder(self) -> Path | None:
        """The judge's folder, where the settings name one."""
        if not self.settings.judge:
            return None
        return (self.folder / self.settings.judge).resolve()

    @property
    def prompts_file(self) -> Path | None:
        """The prompt file, where the settings name one."""
        if not self.settings.prompts:
            return None
        return (self.folder / self.settings.prompts).resolve()

    @property
    def base(self) -> str:
        """Its name without the LoRA."""
        return self.name if self.lora is None else self.name.rpartition(_LORA)[0]

    @property
    def _commit(self) -> str:
        return hub_cache.commit_of(self.folder, self.hub_id)

    @property
    def again(self) -> str:
        """How to get the files again, to end a message with."""
        return (
            f"download it again: {hub_cache.download(self.hub_id, revision=self._commit)}"
            if self.hub_id
            else "save it again with save_pretrained"
        )


class Blueprint(NamedTuple):
    """What can be known of a checkpoint without its weights: ``config`` is the transformer's."""

    checkpoint: Checkpoint
    config: Mapping[str, Any]


def blueprint(name: str, *, dtype: str | None = None) -> Blueprint:
    """A checkpoint and its transformer's config, without weights.

    A real one by name or hub id needs nothing on this disk, a folder no more than ``transformer/config.json``.
    Raises CheckpointError as :func:`resolve`.
    """
    real = None if Path(name).exists() else known.find(name)
    if real is None:
        place = locate(name)
        if not (place.hub_id or (place.folder / INDEX).exists()):
            return _architecture(place, dtype)
        checkpoint = resolve(name, dtype=dtype)
        return Blueprint(checkpoint, transformer_config(checkpoint))
    settings = real.settings
    folder = hub_cache.repository(real.hub_id)
    checkpoint = Checkpoint(real.name, folder, real.family, real.stacks, settings, bundled=False, lacks=real.lacks)
    return Blueprint(_with(replace(checkpoint, hub_id=real.hub_id), dtype, None), real.config)


def _architecture(place: Location, dtype: str | None) -> Blueprint:
    """The same of a folder with a transformer's config and no pipeline."""
    config = _read(place, "transformer/config.json", f"{place.folder} has neither a pipeline nor a transformer")
    family = FAMILIES.get(str(config.get("_class_name")))
    if family is None:
        raise CheckpointError(
            f"{place.folder / 'transformer' / 'config.json'} is of a {config.get('_class_name')}; "
            f"known are {', '.join(FAMILIES)}"
        )
    stacks = _stacks(place.folder, family, config)
    checkpoint = Checkpoint(place.name, place.folder, family, stacks, _settings(place, family, {}), bundled=False)
    return Blueprint(_with(checkpoint, dtype, None), config)


def resolve(name: str, *, dtype: str | None = None, lora: str | None = None, revision: str | None = None) -> Checkpoint:
    """Look at a bundled checkpoint, a folder, a real checkpoint by its name, or a hub id in the cache.

    ``dtype`` replaces the settings'; ``lora`` is a file, folder or hub id, and gives the checkpoint another
    name; ``revision`` is a branch, tag or commit of a hub id (default: ``main``). Settings are the folder's
    ``harness.json`` on top of what is known of that hub id, or else of the family. Raises CheckpointError: unknown
    name, not there, gated, half-downloaded, not a pipeline, another class, no transformer, code in the folder or
    classes of another library, or a file that isn't JSON; the message says
    which, where, and the fix.
    """
    place = locate(name, revision)
    folder = place.folder
    if (folder / MODULAR_INDEX).is_file() and not (folder / INDEX).exists():
        modular = _object(folder / MODULAR_INDEX, "").get("_class_name")
        raise CheckpointError(f"checkpoint {place.hub_id or folder} {modular_reason(modular)}")
    index = _read(place, INDEX, f"{folder} is no diffusers pipeline folder")
    family = family_of(index, f"checkpoint {folder}")
    refuse_foreign_code(folder, index, place.hub_id)
    config = _read(place, "transformer/config.json", f"checkpoint {folder} has no transformer")
    family = with_present_stacks(family, config, folder) if family.general else family
    stacks = _stacks(folder, family, config)
    numbers = numbers_with_holes(folder / "transformer", family, stacks)
    settings = _settings(place, family, index)
    check_settings(place.name, family, settings)
    checkpoint = Checkpoint(
        name=place.name,
        folder=folder,
        family=family,
        stacks=stacks,
        settings=settings,
        bundled=place.bundled,
        index=index,
        hub_id=place.hub_id,
        batch_given=family.layered or "batch" in _own_settings(place),
        block_numbers=numbers,
        lacks=lacking_numbers(numbers) or _lacking(place, family, index, stacks),
    )
    return _with(checkpoint, dtype, lora)


def transformer_config(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The config of the transformer of a checkpoint whose folder has been looked at. Raises CheckpointError."""
    return _object(checkpoint.folder / "transformer" / "config.json", f"checkpoint {checkpoint.folder}")


def _with(checkpoint: Checkpoint, dtype: str | None, lora_name: str | None) -> Checkpoint:
    if dtype is not None:
        name = full_dtype(dtype)
        if name not in DTYPES:
            raise CheckpointError(
                f"unknown dtype {dtype!r}{did_you_mean(dtype, DTYPES)}; there are {', '.join(DTYPES)}"
            )
        checkpoint = replace(checkpoint, settings=replace(checkpoint.settings, dtype=name))
    if lora_name is None:
        return checkpoint
    path = lora.find(lora_name)
    # Another name, so that its values never meet the base's baseline.
    return replace(checkpoint, name=f"{checkpoint.name}{_LORA}{file_sha256(path)[:6]}", lora=path)


def _stacks(folder: Path, family: Family, config: Mapping[str, Any]) -> dict[str, int]:
    lengths: dict[str, int] = {}
    for stack in family.stacks:
        length = config.get(stack.length_key)
        if not isinstance(length, int) or isinstance(length, bool) or not 1 <= length <= _MOST_BLOCKS:
            raise CheckpointError(
                f"{folder / 'transformer' / 'config.json'}: {stack.length_key} is {str(length)[:60]!r}, "
                f"which is no number of blocks for stack {stack.name!r}"
            )
        lengths[stack.name] = length
    return lengths


def _published(place: Location, family: Family, index: Mapping[str, Any]) -> PublishedCheckpoint | None:
    """The published checkpoint of the same family that is there, or that a folder was saved from."""
    real = place.known or known.like(str(index.get("_name_or_path", "")), place.folder.resolve().name)
    return real if real is not None and real.family.pipeline == family.pipeline else None


def _lacking(place: Location, family: Family, index: Mapping[str, Any], stacks: Mapping[str, int]) -> str:
    """How many blocks of its base a published checkpoint lacks, or a folder of the one that it was saved from."""
    real = _published(place, family, index)
    return "" if real is None else real.lacks or known.lacking_blocks(real.name, stacks)


def _settings(place: Location, family: Family, index: Mapping[str, Any]) -> Settings:
    real = _published(place, family, index)
    start = family.settings if real is None else real.settings
    given = _own_settings(place)
    try:
        return from_plain(Settings, {**to_plain(start), **no_unknown_fields(Settings, given)})
    except DataError as error:
        raise CheckpointError(f"{place.folder / SETTINGS_FILE}: {error}; fix it there, or leave it out") from None


def _own_settings(place: Location) -> Mapping[str, Any]:
    """What the folder's own harness.json says; nothing where there is none."""
    path = place.folder / SETTINGS_FILE
    return _object(path, "") if path.exists() else {}


def _read(place: Location, file: str, missing: str) -> dict[str, Any]:
    """One of a checkpoint's JSON files; in the hub's cache, one that isn't there has not been downloaded yet."""
    path = place.folder / file
    if place.hub_id and not path.exists():
        raise CheckpointError(hub_cache.incomplete(place.folder, place.hub_id, file))
    return _object(path, missing)


def _object(path: Path, missing: str) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise CheckpointError(f"can't read {path}: it is no file")  # a pipe would be waited for, without end
    try:
        value = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{missing}: {path} is not there; save the whole pipeline with save_pretrained") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"can't read {path}: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); fetch or save it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object; fetch or save it again")
    return cast("dict[str, Any]", value)

"""What is known of checkpoints without loading them: families, bundled folders, config.json.

Nothing here imports torch: ids are made at collection, from a folder's ``transformer/config.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from harness.case import slug
from harness.errors import CheckpointError

SETTINGS_FILE = "harness.json"
BUNDLED = Path(__file__).parent / "tiny" / "weights"


@dataclass(frozen=True)
class Stack:
    """One ModuleList of blocks: our name, the model's attribute, the config key that holds its length."""

    name: str
    attribute: str
    length_key: str


@dataclass(frozen=True)
class Family:
    """A transformer class and how its pipeline is normally run."""

    name: str
    transformer: str
    pipeline: str
    stacks: tuple[Stack, ...]


FAMILIES: dict[str, Family] = {
    family.transformer: family
    for family in (
        Family(
            "flux",
            "FluxTransformer2DModel",
            "FluxPipeline",
            (
                Stack("double", "transformer_blocks", "num_layers"),
                Stack("single", "single_transformer_blocks", "num_single_layers"),
            ),
        ),
        Family(
            "sd3",
            "SD3Transformer2DModel",
            "StableDiffusion3Pipeline",
            (Stack("joint", "transformer_blocks", "num_layers"),),
        ),
        Family(
            "auraflow",
            "AuraFlowTransformer2DModel",
            "AuraFlowPipeline",
            (
                Stack("double", "joint_transformer_blocks", "num_mmdit_layers"),
                Stack("single", "single_transformer_blocks", "num_single_dit_layers"),
            ),
        ),
    )
}


@dataclass(frozen=True)
class Settings:
    """How a checkpoint is sampled and judged; a folder's ``harness.json`` overrides the family's.

    ``judge`` is a folder beside the checkpoint's (a name without a slash) or a path; ``world`` says
    that prompts are sentences of the bundled world, so that the exact checker applies. ``negative_prompt`` is
    what classifier-free guidance pushes away from; where there is none, it has no effect.
    """

    steps: int = 4
    guidance: float = 0.0
    negative_prompt: str = ""
    height: int = 1024
    width: int = 1024
    max_sequence_length: int = 256
    dtype: str = "float32"
    batch: int = 1
    seeds: int = 4
    prompts: str = ""
    judge: str = ""
    world: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder that has been looked at, not loaded. ``stacks`` maps a stack to its blocks."""

    name: str
    folder: Path
    family: Family
    stacks: Mapping[str, int]
    settings: Settings
    bundled: bool

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


def bundled_names() -> list[str]:
    """The checkpoints that come with the package."""
    return sorted(p.parent.name for p in BUNDLED.glob("*/model_index.json"))


def resolve(name: str) -> Checkpoint:
    """Look at a bundled checkpoint or a folder made by ``save_pretrained``.

    Raises CheckpointError: unknown name, no such folder, not a pipeline, another class, no
    transformer, or a file that isn't JSON; the message says which, where, and the mend.
    """
    folder = BUNDLED / name
    bundled = name in bundled_names()
    if not bundled:
        folder = Path(name)
        if not folder.is_dir():
            kind = "is a file, not a folder" if folder.is_file() else "is neither a bundled checkpoint nor a folder"
            raise CheckpointError(
                f"checkpoint {name!r} {kind}; bundled are {', '.join(bundled_names()) or 'none'}, "
                "a folder is one made by a diffusers pipeline's save_pretrained"
            )
    index = _read(folder / "model_index.json", f"{folder} is no diffusers pipeline folder")
    parts = index.get("transformer")
    if not isinstance(parts, list) or len(parts) != 2 or parts[1] is None:
        raise CheckpointError(
            f"checkpoint {folder}: model_index.json names no transformer (a {index.get('_class_name')}); "
            "this harness ablates diffusion transformers"
        )
    family = FAMILIES.get(str(parts[1]))
    if family is None or index.get("_class_name") != family.pipeline:
        known = ", ".join(f"{f.pipeline} with {f.transformer}" for f in FAMILIES.values())
        raise CheckpointError(f"checkpoint {folder} is a {index.get('_class_name')} with {parts[1]}; known are {known}")
    config = _read(folder / "transformer" / "config.json", f"checkpoint {folder} has no transformer")
    lengths: dict[str, int] = {}
    for stack in family.stacks:
        length = config.get(stack.length_key)
        if not isinstance(length, int) or length < 1:
            raise CheckpointError(
                f"{folder / 'transformer' / 'config.json'}: {stack.length_key} is {length!r}, "
                f"which is no number of blocks for stack {stack.name!r}"
            )
        lengths[stack.name] = length
    return Checkpoint(
        name=name if bundled else slug(folder.resolve().name),
        folder=folder,
        family=family,
        stacks=lengths,
        settings=_settings(folder),
        bundled=bundled,
    )


def _settings(folder: Path) -> Settings:
    path = folder / SETTINGS_FILE
    if not path.exists():
        return Settings()
    given = _read(path, "")
    kinds = {f.name: type(f.default) for f in fields(Settings)}
    for key, value in given.items():
        if key not in kinds:
            raise CheckpointError(f"{path}: unknown setting {key!r}; known are {', '.join(kinds)}")
        fits = isinstance(value, kinds[key]) or (kinds[key] is float and isinstance(value, int))
        if not fits or (isinstance(value, bool) and kinds[key] is not bool):
            raise CheckpointError(f"{path}: {key} must be a {kinds[key].__name__}, not {value!r}")
    return replace(Settings(), **given)


def _read(path: Path, missing: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{missing}: {path} is not there; save the whole pipeline with save_pretrained") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"can't read {path}: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); fetch or save it again") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object; fetch or save it again")
    return cast("dict[str, Any]", value)

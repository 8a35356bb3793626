"""Refusing folders that bring code of their own, before a library that would run it sees them.

diffusers before 0.38 imports ``vae/evil.py`` where model_index.json says ``"vae": ["evil", "Model"]``, and any
installed module that is named there; transformers fetches and runs a kernel that a config names. A checkpoint is data
here, so all of that is refused, whatever the versions that are installed would do. By the standard library alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from harness.errors import CheckpointError
from harness.files import parse_json

_LIBRARIES = ("diffusers", "transformers")
_CODE = frozenset({".py", ".pyc", ".pyd", ".so"})
_COMPONENT = re.compile(r"[A-Za-z0-9]\w*", re.ASCII)
# Classes that read from the folder which class, or which module, they are to load.
_INDIRECT = re.compile(r"Auto(?!encoder)\w*|\w*Pipeline\w*|Modular\w*", re.ASCII)
_ATTENTION = ("attn_implementation", "_attn_implementation")


def refuse_foreign_code(folder: Path, index: Mapping[str, Any], label: str = "") -> None:
    """Raise CheckpointError where a pipeline's folder holds code, or model_index.json asks for any but known classes.

    ``index`` is what model_index.json holds, ``label`` what messages call the folder.
    """
    where = f"checkpoint {label or folder}"
    components = [name for name, value in index.items() if not name.startswith("_") and _is_component(value)]
    for name in components:
        _check_component(where, name, index[name])
    refuse_code_files(folder, where, [folder / name for name in components])
    for name in components:
        _check_config(where, folder / name / "config.json")


def _is_component(value: object) -> bool:
    """Whether an entry of model_index.json is to name a class; a longer list of numbers is a pipeline's own setting."""
    if not isinstance(value, list):
        return False
    parts = cast("list[object]", value)
    return len(parts) <= 2 or not all(isinstance(part, int) for part in parts)


def refuse_code_files(folder: Path, where: str, parts: Sequence[Path] = ()) -> None:
    """Raise CheckpointError where a file under ``folder`` is code; hidden folders (``.git``) don't count.

    ``parts`` are folders inside that are looked into even where they are links. ``where`` begins the message.
    """
    for path in _files(folder, *parts):
        if path.suffix.lower() in _CODE:
            raise CheckpointError(
                f"{where} holds code: {path.relative_to(folder)}; only safetensors and JSON are read, and an older "
                "diffusers would run it; move it out of the folder"
            )


def _files(*tops: Path) -> Iterator[Path]:
    for top in tops:
        for folder, inner, files in os.walk(top):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            yield from (Path(folder) / name for name in sorted(files))


def _check_component(where: str, name: str, value: Sequence[Any]) -> None:
    """``value`` is [library, class] or, for a component that was dropped, [null, null]."""
    if value == [None, None]:
        return
    entry = f"{where}: model_index.json has {json.dumps(name)[:60]}: {json.dumps(value)[:120]}"
    if len(value) != 2 or not all(isinstance(part, str) for part in value):
        raise CheckpointError(f"{entry}, where a library and a class are needed; fetch or save it again")
    library, kind = cast("tuple[str, str]", tuple(value))
    if library not in _LIBRARIES:
        raise CheckpointError(
            f"{entry}; only classes of diffusers and transformers are loaded: {json.dumps(library)[:60]} would run "
            "code of its own"
        )
    if not kind.isidentifier() or _INDIRECT.fullmatch(kind) or not _COMPONENT.fullmatch(name):
        raise CheckpointError(
            f"{entry}; a component is a folder with a model, a tokenizer or a scheduler of one class, and not of one "
            "that chooses another by what the folder says"
        )


def _check_config(where: str, path: Path) -> None:
    """Raise CheckpointError for a config that names attention code of a repository on the hub."""
    if not path.is_file():
        return
    try:
        config = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # what is missing or damaged is said when it is loaded
    for holder in _objects(config):
        for key in _ATTENTION:
            if "/" in str(holder.get(key, "")):
                raise CheckpointError(
                    f"{where}: {path.parent.name}/{path.name} asks for code from the hub "
                    f"({key}: {json.dumps(holder[key])[:120]}); leave that key out"
                )


def _objects(config: Any) -> Iterator[Mapping[str, Any]]:
    """A config and the configs inside it."""
    rest = [config]
    while rest:
        value = rest.pop()
        if isinstance(value, Mapping):
            yield cast("Mapping[str, Any]", value)
            rest += cast("Mapping[str, Any]", value).values()

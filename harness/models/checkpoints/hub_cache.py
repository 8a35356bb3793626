"""The hub's cache on this disk, read by the standard library alone, and what the hub says of a model it lacks.

Layout: ``models--ORG--NAME/refs/main`` holds a commit, ``snapshots/COMMIT/`` its files as links into ``blobs/``.
Nothing here downloads: every message names the command that does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import first_line
from harness.files import parse_json
from harness.models.checkpoints.general_family import MODULAR_INDEX, modular_reason
from harness.models.checkpoints.pipeline_folder import INDEX

_PART = r"\w(?:[\w.-]*\w)?"
_ID = re.compile(f"{_PART}/{_PART}", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]*", re.ASCII)
_ASK_SECONDS = 5.0
_INDEX_CHARACTERS = 100_000  # many times what any pipeline has
# Without the second copy in half precision that many repositories hold; the first is read at any dtype. And without
# code, which an older diffusers would run.
_PIPELINE_FILES = '--include "*.json" --include "*/*" --exclude "*fp16*" --exclude "*.py"'
LORA_FILES = '--include "*.safetensors"'


def is_id(text: str) -> bool:
    """Whether a text looks like ``org/name``."""
    return _ID.fullmatch(text) is not None and "--" not in text and ".." not in text


def cache() -> Path:
    """The cache's folder, by the variables that huggingface_hub reads, in its order."""
    base = os.getenv("XDG_CACHE_HOME", str(Path("~") / ".cache"))
    home = _expanded(os.getenv("HF_HOME", str(Path(base) / "huggingface")))
    legacy = os.getenv("HUGGINGFACE_HUB_CACHE", str(Path(home) / "hub"))
    return Path(_expanded(os.getenv("HF_HUB_CACHE", legacy)))


def _expanded(path: str) -> str:
    return os.path.expandvars(Path(path).expanduser())


def repository(hub_id: str) -> Path:
    """The folder of a model in the cache, whether it is there or not."""
    return cache() / f"models--{hub_id.replace('/', '--')}"


def snapshot(hub_id: str, revision: str = "main") -> Path | None:
    """The folder of a model's files at a revision, where its download has at least begun.

    ``revision`` is a branch, a tag or a whole commit, as for ``hf download --revision``.
    """
    folder = repository(hub_id)
    if not _REVISION.fullmatch(revision) or ".." in revision:
        return None
    try:
        commit = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = revision
    snapshot = folder / "snapshots" / commit
    return snapshot if re.fullmatch(r"[0-9a-f]+", commit) and snapshot.is_dir() else None


def commit_of(folder: Path, hub_id: str) -> str:
    """The commit whose files a snapshot's folder holds; empty for the one that ``main`` stands for."""
    main = snapshot(hub_id)
    return "" if folder.parent.name != "snapshots" or folder == main else folder.name


def begun(hub_id: str) -> bool:
    """Whether anything of a model has ever been downloaded."""
    return any((repository(hub_id) / "blobs").glob("*"))


def download(hub_id: str, files: str = _PIPELINE_FILES, version: str | None = None, *, revision: str = "") -> str:
    """The command that downloads a model, or what is left of it, for the huggingface_hub that is installed.

    Before 1.0 one ``--include`` (and one ``--exclude``) took all patterns, and of several only the last counted.
    """
    number = tuple(int(part) for part in (version or metadata.version("huggingface_hub")).split(".")[:2])
    if number < (1, 0):
        files = files.replace('" --include "', '" "').replace('" --exclude "*.py', '" "*.py')
    of_revision = f" --revision {revision}" if revision else ""
    return f"{'hf' if number >= (0, 34) else 'huggingface-cli'} download {hub_id}{of_revision} {files}"


def incomplete(folder: Path, hub_id: str, first: str) -> str:
    """The message for a folder, or a model in the cache, that lacks a file."""
    from rich.filesize import decimal  # only where a download is missing: commands are listed without rich

    if not hub_id:
        return f"checkpoint {folder} is incomplete: {first} is not there; save it again with save_pretrained"
    cut = sum(path.stat().st_size for path in (repository(hub_id) / "blobs").glob("*.incomplete"))
    command = download(hub_id, revision=commit_of(folder, hub_id))
    so_far = f", {decimal(cut)} of a file are" if cut else ""
    return f"{hub_id} is half-downloaded: {first} is not there{so_far}; finish it: {command}"


def missing(
    name: str,
    hub_id: str,
    gigabytes: float | None = None,
    *,
    lora: bool = False,
    guess: str = "",
    check: Callable[[Mapping[str, Any]], object] = lambda _: None,
) -> str:
    """Why a model that is not in the cache isn't, as far as the hub says, and the fix.

    ``guess`` says what was probably meant by an unknown name. ``check`` is called with the model_index.json of a
    pipeline that the hub has, and raises where downloading it is of no use.
    """
    what = f"{'LoRA' if lora else 'checkpoint'} {name!r}" + ("" if name == hub_id else f" ({hub_id})")
    command = download(hub_id, LORA_FILES if lora else _PIPELINE_FILES)
    size = "" if gigabytes is None else f" ({gigabytes:.0f} GB)"
    # "no folder": the path of a folder that isn't there looks like a hub id.
    start = f"{what} is no folder here and not in the hub cache {cache()}"
    answer, detail = _ask(hub_id, "README.md" if lora else INDEX)
    if answer == "gated":
        return f"{what} is gated: accept its licence on {detail}, then: hf auth login, and{size} {command}"
    if answer == "absent":
        return (
            f"{start}, and the hub has no such repository: check the spelling of {hub_id!r}{guess}; if it is private: "
            f"hf auth login, and {command}"
        )
    if answer == "other" and not lora and _ask(hub_id, MODULAR_INDEX).status == "there":
        return f"{what} {modular_reason()}"
    if answer == "other" and not lora:
        return f"{start}, and on the hub it is no diffusers pipeline: it has no model_index.json; name another"
    if answer == "silent":
        return f"{start}; download it{size}: {command} (whether it is gated is not known: {detail})"
    index = None if lora else _index(hub_id)
    if index is not None:
        check(index)
    return f"{start}; download it{size}: {command}"


class _HubAnswer(NamedTuple):
    """Whether a file can be had from the hub.

    ``status`` is ``there``; ``gated``, with the page where its licence is accepted; ``absent`` (or private);
    ``other``, for a repository without that file; or ``silent``, with the reason why the hub could not be asked.
    """

    status: str
    detail: str


def _ask(hub_id: str, file: str) -> _HubAnswer:
    """Ask the hub for the header of one small file, which downloads nothing."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return _HubAnswer("silent", "HF_HUB_OFFLINE is set")
    page = f"{constants.ENDPOINT}/{hub_id}"
    try:
        get_hf_file_metadata(hf_hub_url(hub_id, file), timeout=_ASK_SECONDS)
    except GatedRepoError:
        return _HubAnswer("gated", page)
    except RepositoryNotFoundError:
        return _HubAnswer("absent", "")
    except EntryNotFoundError:
        return _HubAnswer("other", "")
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        return _HubAnswer("gated", page) if status in {401, 403} else _HubAnswer("silent", f"the hub answers {status}")
    except Exception as error:  # noqa: BLE001 - each version of huggingface_hub speaks through another HTTP library
        return _HubAnswer("silent", f"the hub can't be reached: {first_line(error)}")
    return _HubAnswer("there", "")


def _index(hub_id: str) -> dict[str, Any] | None:
    """A pipeline's model_index.json on the hub, about a kilobyte, which is not kept; None where it can't be had."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

    try:
        url = hf_hub_url(hub_id, INDEX)
        answer = get_session().get(url, headers=build_hf_headers(), timeout=_ASK_SECONDS)
        answer.raise_for_status()
        index = parse_json(answer.text[:_INDEX_CHARACTERS])
    except Exception:  # noqa: BLE001 - as in _ask; what can't be read now is checked after the download
        return None
    return index if isinstance(index, dict) else None

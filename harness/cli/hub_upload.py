"""``--push-to-hub``: a saved model to the Hugging Face hub, by huggingface_hub and the token that it has.

Everything that can be refused (the id, the token, a hub that can't be reached) is found out before a model is loaded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import LocalTokenNotFoundError

from harness.errors import ExportError, first_line
from harness.models.checkpoints.hub_cache import is_id
from harness.models.checkpoints.resolve import SETTINGS_FILE

_T = TypeVar("_T")
_LOG_IN = "run `hf auth login`, or set HF_TOKEN, with a token that may write"
# What is of this disk alone: the paths of judge and prompts, and the state of a healing.
_STAYS_HERE = [SETTINGS_FILE, "healing/**"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of an upload."""
    group = parser.add_argument_group("the Hugging Face hub")
    group.add_argument(
        "--push-to-hub",
        metavar="ORG/NAME",
        help="also upload what is saved, as this model; needs `hf auth login`, and is checked before anything is done",
    )
    group.add_argument("--private", action="store_true", help="make a model that isn't there yet a private one")


def check(arguments: argparse.Namespace) -> None:
    """Raise ExportError where ``--push-to-hub`` would fail: no such id, no token, no hub. Without it, do nothing."""
    if arguments.push_to_hub is None:
        if arguments.private:
            raise ExportError("--private is of --push-to-hub; name the model with --push-to-hub ORG/NAME")
        return
    hub_id: str = arguments.push_to_hub
    if not is_id(hub_id):
        raise ExportError(f"--push-to-hub {hub_id[:60]!r} is no hub id; write it like org/name")
    if constants.HF_HUB_OFFLINE:
        raise ExportError("--push-to-hub needs the hub, and HF_HUB_OFFLINE is set; unset it")
    _ask(hub_id, HfApi().whoami)


def push(folder: Path, hub_id: str, *, private: bool) -> str:
    """Upload a saved model as one commit; its address. Raises ExportError where the hub refuses; the folder stays."""
    api = HfApi()

    def upload() -> str:
        # None leaves it to the organisation, which may want its models private.
        address = api.create_repo(hub_id, private=private or None, exist_ok=True)
        api.upload_folder(
            repo_id=hub_id,
            folder_path=folder,
            commit_message="Upload by dit-ablation-harness",
            ignore_patterns=_STAYS_HERE,
        )
        return str(address)

    try:
        return _ask(hub_id, upload)
    except ExportError as error:
        raise ExportError(f"{error}; {folder} is saved: `hf upload {hub_id} {folder}` uploads it") from None


def _ask(hub_id: str, request: Callable[[], _T]) -> _T:
    """What a request to the hub returns. Raises ExportError saying what the hub, or the way there, refused."""
    try:
        return request()
    except LocalTokenNotFoundError:
        raise ExportError(f"--push-to-hub {hub_id}: there is no token on this machine; {_LOG_IN}") from None
    except Exception as error:  # noqa: BLE001 - each version of huggingface_hub speaks through another HTTP library
        # Not by the class: before 1.0 a token that the hub refuses is an error of that library, and no HfHubHTTPError.
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status is not None:
            fix = f"; {_LOG_IN} there" if status in {401, 403} else ""
            raise ExportError(f"--push-to-hub {hub_id}: the hub answers {status}: {first_line(error)}{fix}") from None
        raise ExportError(
            f"--push-to-hub {hub_id}: the hub at {constants.ENDPOINT} can't be used: {first_line(error)}"
        ) from None

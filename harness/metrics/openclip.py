"""Finding and loading an open_clip model: a folder, or an architecture with one of its pretrained tags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import open_clip
import torch

from harness.errors import CheckpointError, first_line
from harness.files import parse_json
from harness.metrics.model_files import FAILURES, file_digest, quiet
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.foreign_code import refuse_code_files
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.checkpoints.weight_files import check_weights, weights_digest
from harness.spelling import nearest

DEFAULT = "ViT-L-14/openai"  # of checkpoints that name no judge
_NAMED = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_WEIGHTS = "open_clip_model.safetensors"  # its name in a folder, and on the hub where open_clip names none
_CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class Source:
    """A judge whose files are all there. ``tag`` is open_clip's pretrained tag, empty for a folder."""

    architecture: str
    tag: str
    weights: Path
    text: Mapping[str, Any]  # the text tower's part of the model's config
    preprocess: Mapping[str, Any]
    tokenizer: Path | None

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.architecture}/{self.tag}" if self.tag else str(self.weights.parent)

    @property
    def id(self) -> str:
        """What stands in the fingerprint: the name, where it has one, and twelve hex digits of its files."""
        if not self.tag:
            return weights_digest(self.weights.parent)
        return f"{self.label} {file_digest(self.weights)}"


def find(where: str | Path) -> Source:
    """A judge by folder or by ``ARCHITECTURE/TAG``, without loading it.

    Raises CheckpointError: neither of the two, an unknown architecture or tag (with the nearest ones), files that
    are missing or damaged (with the command that fetches them), weights that exist as a pickle alone.
    """
    folder = Path(where)
    if folder.is_dir() or isinstance(where, Path):
        return _folder(folder)
    if not _NAMED.fullmatch(where):
        raise CheckpointError(
            f"judge {where!r} is neither a folder nor one of open_clip's names, which are ARCHITECTURE/TAG as in "
            "ViT-L-14/openai; check the spelling"
        )
    architecture, tag = where.split("/")
    return _named(architecture, tag.lower().replace("-", "_"))  # as open_clip itself reads a tag


def of_checkpoint(checkpoint: Checkpoint) -> str | Path:
    """What a checkpoint's settings name, a folder seen from the checkpoint's own or a judge's name; or the default."""
    judge, folder = checkpoint.settings.judge, checkpoint.judge_folder
    if folder is None:
        return DEFAULT
    return judge if not folder.is_dir() and _NAMED.fullmatch(judge) else folder


def _folder(folder: Path) -> Source:
    config = folder / _CONFIG
    if not config.is_file():
        raise CheckpointError(f"judge {folder} is no open_clip folder: {config.name} is not there")
    refuse_code_files(folder, f"judge {folder}")
    check_weights(folder / _WEIGHTS)
    try:
        told = parse_json(config.read_text(encoding="utf-8"))
        text, preprocess = told["model_cfg"]["text_cfg"], told["preprocess_cfg"]
        _ = [preprocess[key] for key in ("mean", "std")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"judge {folder}: {config.name} is no open_clip config ({error!r})") from None
    _own_text_tower(str(folder), text)
    if "trust_remote_code" in str(text):
        raise CheckpointError(f"judge {folder}: {config.name} asks to run code (trust_remote_code); leave that key out")
    return Source(f"local-dir:{folder}", "", folder / _WEIGHTS, text, preprocess, None)


def _named(architecture: str, tag: str) -> Source:
    label = f"{architecture}/{tag}"
    known = list(dict.fromkeys(name for name, _ in open_clip.list_pretrained()))
    if architecture not in known:
        near = _near(architecture, known)
        raise CheckpointError(f"judge {label!r}: open_clip has no pretrained {architecture!r}; {near}")
    pretrained = cast("dict[str, Any]", open_clip.get_pretrained_cfg(architecture, tag))
    if not pretrained:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        near = _near(tag, tags)
        raise CheckpointError(f"judge {label!r}: open_clip has no weights {tag!r} of {architecture}; {near}")
    repository, file = _on_the_hub(label, pretrained)
    text = cast("dict[str, Any]", open_clip.get_model_config(architecture))["text_cfg"]
    _own_text_tower(label, text)
    return Source(
        architecture=architecture,
        tag=tag,
        weights=_cached(label, repository, file),
        text=text,
        preprocess=pretrained,
        tokenizer=_tokenizer(label, text),
    )


def _near(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known, most=6, alike=0.5)
    if near or len(known) <= 12:
        return f"near it are {', '.join(near)}" if near else f"there are {', '.join(known)}"
    return "all are listed by: python -c 'import open_clip; print(*open_clip.list_pretrained())'"


def _on_the_hub(label: str, pretrained: Mapping[str, Any]) -> tuple[str, str]:
    """The repository and the safetensors file: open_clip writes ``ORG/NAME/FILE``, or ``ORG/NAME/`` for its default."""
    repository, _, file = str(pretrained.get("hf_hub", "")).rpartition("/")
    if file and not file.endswith((".bin", ".pth", ".safetensors")):
        repository = ""
    if not repository:
        raise CheckpointError(
            f"judge {label!r}: its weights are only to be had as a pickle, which is not read; choose another tag"
        )
    return repository, f"{Path(file).stem}.safetensors" if file else _WEIGHTS


def _cached(label: str, repository: str, file: str) -> Path:
    folder = hub_cache.snapshot(repository)
    path = folder / file if folder else None
    if path is None or not path.exists():
        raise CheckpointError(
            f"judge {label!r} is not in the hub cache {hub_cache.cache()}; run: hf download {repository} {file}"
        )
    check_weights(path)
    return path


def _tokenizer(label: str, text: Mapping[str, Any]) -> Path | None:
    """The folder of a tokenizer that isn't open_clip's own."""
    repository = text.get("hf_tokenizer_name")
    if not repository:
        return None
    folder = hub_cache.snapshot(repository)
    if folder is None or not list(folder.glob("tokenizer*")):
        raise CheckpointError(
            f"judge {label!r}: its tokenizer {repository} is not in the hub cache {hub_cache.cache()}; run: "
            f'hf download {repository} --include "*.json" --include "*.model" --include "*.txt"'
        )
    return folder


def _own_text_tower(label: str, text: Mapping[str, Any]) -> None:
    if "hf_model_name" in text:
        raise CheckpointError(
            f"judge {label!r} builds its text tower from another repository ({text['hf_model_name']}), which open_clip "
            "would download unasked; choose a judge with a text tower of its own"
        )


def load(source: Source, device: torch.device) -> tuple[Any, Any]:
    """(model, tokenizer), in fp32 and eval mode. Raises CheckpointError where they don't load, or not every weight.

    The activation is the tag's: by itself open_clip would run OpenAI's weights with another one and warn.
    """
    try:
        with quiet():
            if source.tag:
                model = open_clip.create_model(
                    source.architecture,
                    pretrained=str(source.weights),
                    precision="fp32",
                    device=device,
                    force_quick_gelu=bool(source.preprocess.get("quick_gelu", False)),
                    require_pretrained=True,
                )
            else:
                model, _ = open_clip.create_model_from_pretrained(source.architecture, device=device)
            tokenizer = _load_tokenizer(source)
    except FAILURES as error:
        raise CheckpointError(f"judge {source.label} doesn't load: {first_line(error)}") from error
    return cast("Any", model).eval().requires_grad_(False), tokenizer


def _load_tokenizer(source: Source) -> Any:
    if source.tokenizer is None:
        return open_clip.get_tokenizer(source.architecture)
    return open_clip.tokenizer.HFTokenizer(
        str(source.tokenizer),
        context_length=source.text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
        tokenizer_mode=source.text.get("tokenizer_mode"),
        **source.text.get("tokenizer_kwargs", {}),
    )

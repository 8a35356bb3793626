"""Saving a pruned transformer as a model of its own, which diffusers loads without this harness."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from harness._version import __version__
from harness.ablation.plan import Plan
from harness.errors import CheckpointError, ExportError, first_line
from harness.files import file_sha256, write_atomically
from harness.models.checkpoints import hub_cache, published
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.checkpoints.weight_files import check_files
from harness.models.diffusers_since import not_in_this_release
from harness.models.environment import versions
from harness.models.loading import check_loaded, dtype_argument, no_bars
from harness.models.stacks import blocks_at, transformer_of
from harness.results.records import Record
from harness.surgery.export_card import CardFacts, model_card
from harness.surgery.pruning import chosen, family_of, prune

_PROVENANCE = "ablation.json"
_CARD = "README.md"
_SCHEMA = 1


@dataclass(frozen=True)
class Exported:
    """What was saved. ``blocks`` maps a stack to the original indices of its blocks, in their new order.

    ``sha256`` are the weight files' digests, ``size`` their bytes together, ``weights`` says of which
    weights they are a part (as the caller named them), ``converted`` what had to change beside names.
    """

    folder: Path
    transformer: str
    blocks: Mapping[str, tuple[int, ...]]
    lengths: Mapping[str, int]  # of the original's stacks
    tensors: int
    size: int
    sha256: Mapping[str, str]
    checkpoint: str = ""
    weights: str = ""
    converted: str = ""


def export(
    transformer: Any,
    plans: str | Sequence[str] | Mapping[str, Plan | str],
    folder: str | Path,
    *,
    checkpoint: str = "",
    weights: str = "",
    base_model: str = "",
    records: Iterable[Record] = (),
) -> Exported:
    """Save the transformer under ``plans`` to ``folder``, so that ``type(transformer).from_pretrained`` reads it.

    ``plans`` are texts like ``"double: 0-1 3-4"``, or stack -> plan; stacks without one stay whole. The saved model
    gives bitwise what ``ablate`` gives on the CPU. ``transformer`` may be the pipeline that has it, too.
    ``checkpoint`` (the original's name) and ``weights`` (a digest) go into the provenance, ``ablation.json`` in the
    folder, and with ``base_model`` (the original's hub id, by default that of ``checkpoint`` where it is known) into
    its model card, ``README.md``. The card quotes the harm that ``records`` of the same plans hold. The folder appears
    when everything in it has been read back and compared with the original's weights, or not at all.

    Raises ExportError where ``base_model`` is no hub id, where a plan can't be saved (a repeated block, a parallel
    group, SD3's last block elsewhere), where the model isn't plain (quantised, offloaded to meta, with a LoRA on
    it, outside the known families), and where the folder isn't empty or can't be written; PlanError or SurgeryError for
    a plan or stack that doesn't fit the model.
    """
    model, folder = transformer_of(transformer), Path(folder)
    if base_model and not hub_cache.is_id(base_model):
        raise ExportError(f"base_model {base_model!r} is no hub id; write it like org/name, or leave it out")
    family = family_of(model)
    kept = chosen(model, plans)
    lengths = {stack.name: len(blocks_at(model, stack.attribute)) for stack in family.stacks}
    _check_target(folder)
    pruned, converted = prune(model, family, kept)
    fresh = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        pruned.save_pretrained(fresh, safe_serialization=True)
        files = check_saved(fresh, pruned)
        exported = Exported(
            folder=folder,
            transformer=type(model).__name__,
            blocks=kept,
            lengths=lengths,
            tensors=len(pruned.state_dict()),
            size=sum(path.stat().st_size for path in files),
            sha256={path.name: file_sha256(path) for path in files},
            checkpoint=checkpoint,
            weights=weights,
            converted=converted,
        )
        write_atomically(fresh / _PROVENANCE, _provenance(exported))
        facts = CardFacts(
            transformer=exported.transformer,
            pipeline=family.pipeline,
            blocks=kept,
            lengths=lengths,
            checkpoint=checkpoint,
            base_model=base_model or _hub_id(checkpoint),
            converted=converted,
        )
        write_atomically(fresh / _CARD, model_card(facts, records))
        fresh.chmod(0o755)
        os.replace(fresh, folder)
    except (OSError, SafetensorError) as error:
        raise ExportError(f"can't write {folder}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
    return exported


def _hub_id(checkpoint: str) -> str:
    """The hub id that a checkpoint's name stands for; empty where it stands for none that is known."""
    real = published.find(checkpoint)
    return real.hub_id if real is not None else checkpoint if hub_cache.is_id(checkpoint) else ""


def _provenance(exported: Exported) -> str:
    """The text of the provenance file: what was kept of what, and with which versions it was made."""
    facts = asdict(exported)
    del facts["folder"]
    facts["plans"] = {stack: str(Plan(blocks)) for stack, blocks in exported.blocks.items()}
    made_with = {"schema": _SCHEMA, "harness": __version__, "versions": versions()}
    return json.dumps(made_with | facts, indent=2) + "\n"


def stored_transformer(checkpoint: Checkpoint) -> nn.Module:
    """A checkpoint's transformer alone, on the CPU, in the kind of numbers that it is stored in.

    Raises CheckpointError where it is missing, damaged, or not loaded as it is stored.
    """
    kind = getattr(diffusers, checkpoint.family.transformer, None)
    if kind is None:
        raise CheckpointError(not_in_this_release(checkpoint.family.transformer))
    check_files(checkpoint.folder)
    folder = checkpoint.folder / "transformer"
    dtypes: set[torch.dtype] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stored:
            slices = [stored.get_slice(key) for key in stored.keys()]  # noqa: SIM118 - no mapping
            dtypes |= {s[:0].dtype for s in slices if s.get_shape()}
    widest = max((d for d in dtypes if d.is_floating_point), key=lambda d: d.itemsize, default=torch.float32)
    try:
        with no_bars():
            model: nn.Module = kind.from_pretrained(
                folder, **dtype_argument(widest), use_safetensors=True, local_files_only=True
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder} doesn't load: {first_line(error)}; save it again with save_pretrained"
        ) from error
    check_loaded(SimpleNamespace(components={"transformer": model}), checkpoint.folder)
    return model.eval()


def _check_target(folder: Path) -> None:
    if folder.is_dir():
        if any(folder.iterdir()):
            raise ExportError(f"{folder} is not empty; name a folder that isn't there yet, or empty it")
    elif folder.exists() or folder.is_symlink():
        raise ExportError(f"{folder} is a file, not a folder; name a folder that isn't there yet")


def check_saved(folder: Path, model: nn.Module) -> list[Path]:
    """Read a saved model back and compare names, shapes, kinds and bytes; the weight files.

    One tensor at a time, so that no second copy is held. Raises ExportError where anything differs.
    """
    expected = model.state_dict()
    files = sorted(folder.glob("*.safetensors"))
    seen: set[str] = set()
    for path in files:
        with safe_open(path, framework="pt") as stored:
            for key in stored.keys():  # noqa: SIM118 - no mapping
                if key not in expected or not _same(stored.get_tensor(key), expected[key].cpu()):
                    raise ExportError(f"{path.name} doesn't hold {key!r} as it was after saving; export again")
                seen.add(key)
    kind: Any = type(model)
    with torch.device("meta"):
        again = kind.from_config(kind.load_config(folder))
    shapes = {key: value.shape for key, value in again.state_dict().items()}
    if seen != set(expected) or shapes != {key: value.shape for key, value in expected.items()}:
        raise ExportError(f"what was saved is not the model that its config.json describes ({kind.__name__})")
    return files


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are the same bytes (so that NaN equals itself)."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))

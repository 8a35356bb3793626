"""A LoRA file for on top of a checkpoint: where it is, and that it is safetensors. Nothing is loaded here."""

from __future__ import annotations

from pathlib import Path

from harness.errors import CheckpointError
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.pipeline_folder import header

USUAL = "pytorch_lora_weights.safetensors"  # what diffusers saves
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def find(name: str) -> Path:
    """The safetensors file of ``--dit-lora``: a file, a folder that holds one, or a hub id in the cache.

    Raises CheckpointError: not there, gated, a pickle, no safetensors file, several in one folder, damaged.
    """
    path = Path(name)
    if path.is_dir():
        path = _inside(path, name, "")
    elif not path.exists():
        if not hub_cache.is_id(name) or path.suffix in {".safetensors", *_PICKLES}:
            raise CheckpointError(f"LoRA {name!r} is not there; give a .safetensors file, a folder or a hub id")
        snapshot = hub_cache.snapshot(name)
        if snapshot is None:
            raise CheckpointError(hub_cache.missing(name, name, lora=True))
        path = _inside(snapshot, name, f"; download it: {hub_cache.download(name, hub_cache.LORA_FILES)}")
    if path.suffix in _PICKLES:
        raise CheckpointError(
            f"LoRA {path} is a pickle, which can run any code when it is read; save it as safetensors "
            "(safetensors.torch.save_file)"
        )
    if path.suffix != ".safetensors":
        raise CheckpointError(f"LoRA {path} is no .safetensors file")
    header(path)
    return path


def _inside(folder: Path, name: str, fix: str) -> Path:
    files = sorted(folder.glob("*.safetensors"))
    usual = folder / USUAL
    if usual in files:
        return usual
    if len(files) == 1:
        return files[0]
    if files:
        names = ", ".join(path.name for path in files[:4]) + (" ..." if len(files) > 4 else "")
        raise CheckpointError(f"LoRA {name!r} holds {len(files)} files ({names}); give the path of one: {files[0]}")
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in _PICKLES)
    if pickles:
        raise CheckpointError(f"LoRA {name!r} holds no .safetensors file but {pickles[0]}: pickles are not read")
    raise CheckpointError(f"LoRA {name!r} holds no .safetensors file{fix}")

"""A checkpoint as others publish pruned ones: fewer blocks, under the numbers that they had."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from harness.models.checkpoints.pipeline_folder import AUTOENCODER_HOLDER
from harness.models.checkpoints.resolve import BUNDLED

KEPT = (0, 2, 4)


def pruned_flux_tiny(folder: Path) -> Path:
    """flux-tiny with three of its five double blocks, in ``folder/mini``."""
    target = shutil.copytree(BUNDLED / "flux-tiny", folder / "mini")
    shutil.copytree(AUTOENCODER_HOLDER, target / "vae", dirs_exist_ok=True)
    (file,) = (target / "transformer").glob("*.safetensors")
    others = tuple(f"transformer_blocks.{number}." for number in range(5) if number not in KEPT)
    save_file({k: v for k, v in load_file(file).items() if not k.startswith(others)}, file, {"format": "pt"})
    configure(target, num_layers=len(KEPT))
    return target


def configure(folder: Path, **changes: Any) -> None:
    """Change the transformer's config."""
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

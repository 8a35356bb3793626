"""Write weights that exist only as a pickle as safetensors, the only format that the harness reads.

Nothing but tensors and plain containers is unpickled, so no code in the file runs. This is the one place where a
``.pth`` file is read.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.errors import HarnessError, first_line
from harness.files import replacing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("source", type=Path, metavar="FILE.pth", help="a state dict saved by torch.save")
    parser.add_argument("target", type=Path, metavar="OUT.safetensors", help="a file that isn't there yet")


def run(arguments: argparse.Namespace) -> None:
    """Convert the file."""
    tensors = convert(arguments.source, arguments.target)
    print(f"wrote {arguments.target} ({tensors} tensors)")


def convert(source: Path, target: Path) -> int:
    """Write the tensors of a ``.pth`` file into a new safetensors file; how many they are.

    Nothing but tensors and plain containers is unpickled, so no code in the file runs. Raises HarnessError: no such
    file, one that holds other things or no tensors, a target that is there or has another ending.
    """
    if target.suffix != ".safetensors":
        raise HarnessError(f"{target} does not end in .safetensors; name the file to write so")
    if target.exists():
        raise HarnessError(f"{target} is already there; move it away, or name another file")
    tensors = _tensors(source)
    with replacing(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    return len(tensors)


def _tensors(source: Path) -> dict[str, Tensor]:
    if not source.is_file():
        raise HarnessError(f"{source} is not there; give a file of weights")
    try:
        with warnings.catch_warnings(action="ignore"):  # of what the file looks like: the error says it
            content: Any = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a foreign file fails in whatever way it likes
        raise HarnessError(
            f"{source} holds more than weights, or is damaged ({first_line(error)}); nothing of it was run: fetch "
            "it again, or look for the same weights in another format"
        ) from None
    while isinstance(content, dict) and isinstance(inner := cast("dict[str, Any]", content).get("state_dict"), dict):
        content = cast("dict[str, Any]", inner)
    named = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    # A clone each: safetensors refuses tensors that share memory.
    tensors = {str(key): value.detach().clone().contiguous() for key, value in named.items() if torch.is_tensor(value)}
    if not tensors:
        raise HarnessError(f"{source} holds no state dict, which maps names to tensors; give a file of weights")
    return tensors

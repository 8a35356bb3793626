"""Weights that exist only as a pickle, as safetensors: the one place where a ``.pth`` file is read, when asked to."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.errors import HarnessError, first_line
from harness.files import replacing

if TYPE_CHECKING:
    from torch import Tensor


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "convert", help="write the weights of a .pth file as safetensors, which is all that the harness reads"
    )
    parser.add_argument("source", type=Path, metavar="FILE.pth", help="a state dict saved by torch.save")
    parser.add_argument("target", type=Path, metavar="OUT.safetensors")
    parser.set_defaults(call=_convert)


def _convert(given: argparse.Namespace) -> None:
    weights = convert(given.source, given.target)
    print(f"wrote {given.target} ({weights} tensors)")


def convert(source: Path, target: Path) -> int:
    """Write the tensors of a ``.pth`` file into a new safetensors file; how many they are.

    Nothing but tensors and plain containers is unpickled, so no code in the file runs. Raises HarnessError: no such
    file, one that holds other things or no tensors, a target that is there or has another ending.
    """
    if target.suffix != ".safetensors":
        raise HarnessError(f"{target} does not end in .safetensors; name the file to write so")
    if target.exists():
        raise HarnessError(f"{target} is already there; move it away, or name another file")
    found = _tensors(source)
    from safetensors.torch import save_file

    with replacing(target) as temporary:
        save_file(found, temporary, metadata={"format": "pt"})
    return len(found)


def _tensors(source: Path) -> dict[str, Tensor]:
    import torch

    if not source.is_file():
        raise HarnessError(f"{source} is not there; give a file of weights")
    try:
        with warnings.catch_warnings(action="ignore"):  # of what the file looks like: the error says it
            held: Any = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a foreign file fails in whatever way it likes
        raise HarnessError(
            f"{source} holds more than weights, or is damaged ({first_line(error)}); nothing of it was run: fetch "
            "it again, or look for the same weights in another format"
        ) from None
    while isinstance(held, dict) and isinstance(inner := cast("dict[str, Any]", held).get("state_dict"), dict):
        held = cast("dict[str, Any]", inner)
    named = cast("dict[str, Any]", held) if isinstance(held, dict) else {}
    # A clone each: safetensors refuses tensors that share memory.
    found = {str(key): value.detach().clone().contiguous() for key, value in named.items() if torch.is_tensor(value)}
    if not found:
        raise HarnessError(f"{source} holds no state dict, which maps names to tensors; give a file of weights")
    return found

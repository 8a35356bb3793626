"""Save a pruned transformer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.models.checkpoints.resolve import Checkpoint
    from harness.surgery.export import Exported


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("export", help="save the transformer under a plan as a model that diffusers loads")
    parser.add_argument("--checkpoint", required=True, metavar="NAME", help="a checkpoint's name or a folder")
    parser.add_argument(
        "--plan",
        required=True,
        action="append",
        dest="plans",
        metavar="PLAN",
        help="what stays, in which order: 'double: 0-1 3-4' (repeat for another stack)",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that isn't there yet, or is empty")
    parser.set_defaults(call=_call)


def _call(given: argparse.Namespace) -> None:
    from harness.models.checkpoints.resolve import resolve
    from harness.models.checkpoints.weight_files import weights_digest
    from harness.surgery.export import export, stored_transformer

    checkpoint = resolve(given.checkpoint)
    transformer: Any = stored_transformer(checkpoint)
    made = export(
        transformer,
        given.plans,
        given.out,
        checkpoint=checkpoint.name,
        weights=weights_digest(checkpoint.folder),
    )
    for line in said(made, checkpoint, sum(t.nbytes for t in transformer.state_dict().values())):
        print(line)


def said(made: Exported, checkpoint: Checkpoint, before: int) -> list[str]:
    """What was saved, that it was verified, and how it is used. ``before`` are the whole model's bytes."""
    parts = [
        f"{len(made.blocks.get(stack, range(length)))} of {length} {stack} blocks"
        for stack, length in made.lengths.items()
    ]
    lines = [
        f"wrote {made.folder}: {made.transformer} with {', '.join(parts)}; {made.size / 1e6:,.1f} MB "
        f"of {before / 1e6:,.1f} MB",
        f"read back: {made.tensors} tensors, names, shapes and bytes as in {made.checkpoint} "
        f"({', '.join(f'{name} sha256 {digest[:12]}' for name, digest in made.sha256.items())})",
    ]
    if made.converted:
        lines.append(f"converted: {made.converted}")
    load = f'{made.transformer}.from_pretrained("{made.folder}", torch_dtype=...)'
    return [*lines, f'use: {checkpoint.family.pipeline}.from_pretrained("{checkpoint.folder}", transformer={load})']

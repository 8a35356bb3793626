"""Save the transformer under a plan as a model of its own, which diffusers loads without this package.

With `--for TOOL` nothing is saved: the blocks that the plan leaves out are printed as the fields that another tool
reads, or written to OUT. That needs no weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from harness.cli import common, hub_upload
from harness.errors import ExportError
from harness.files import write_atomically
from harness.models.checkpoints.pipeline_folder import AUTOENCODER, weights_folder
from harness.models.checkpoints.resolve import Checkpoint, blueprint, resolve
from harness.models.checkpoints.weight_files import weights_digest
from harness.results.journal import read as read_journal
from harness.surgery.block_lists import FORMATS, block_lists, in_format
from harness.surgery.export import Exported, export, stored_transformer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    common.add_kept_blocks(parser)
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help="a run in which these plans were measured; harm and speed-up go into the model card",
    )
    parser.add_argument(
        "--for",
        dest="tool",
        choices=tuple(FORMATS),
        help="print the plan's block lists as this tool reads them, instead of saving a model",
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        nargs="?",
        help="a folder that isn't there yet, or is empty; with --for, a file (default: the terminal)",
    )
    hub_upload.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Save it, and print what was saved; or print the lists of ``--for``."""
    if arguments.tool is not None:
        _write_lists(arguments)
        return
    if arguments.out is None:
        raise ExportError("name OUT, the folder that the model is saved to; or --for a tool, for its block lists")
    hub_upload.check(arguments)
    checkpoint = resolve(arguments.checkpoint)
    records = read_journal(arguments.run) if arguments.run is not None else []
    transformer: Any = stored_transformer(checkpoint)
    exported = export(
        transformer,
        arguments.plans,
        arguments.out,
        checkpoint=checkpoint.name,
        weights=weights_digest(checkpoint.folder),
        base_model=checkpoint.hub_id,
        records=records,
    )
    for line in _summary(exported, checkpoint, sum(t.nbytes for t in transformer.state_dict().values())):
        print(line)
    if arguments.push_to_hub is not None:
        print(f"pushed to {hub_upload.push(exported.folder, arguments.push_to_hub, private=arguments.private)}")


def _write_lists(arguments: argparse.Namespace) -> None:
    if arguments.run is not None:
        raise ExportError("--run is for the card of a model that is saved; leave it out, or --for")
    if arguments.push_to_hub is not None:
        raise ExportError("--push-to-hub uploads a model that is saved; leave it out, or --for")
    checkpoint = blueprint(arguments.checkpoint).checkpoint
    text = json.dumps(in_format(block_lists(checkpoint, arguments.plans), arguments.tool), indent=2) + "\n"
    if arguments.out is None:
        print(text, end="")
    else:
        write_atomically(arguments.out, text)
        print(f"wrote {arguments.out}")


def _summary(exported: Exported, checkpoint: Checkpoint, before: int) -> list[str]:
    """Lines: what was saved and verified, and how to load it. ``before`` is the whole model's size in bytes."""
    parts = [
        f"{len(exported.blocks.get(stack, range(length)))} of {length} {stack} blocks"
        for stack, length in exported.lengths.items()
    ]
    lines = [
        f"wrote {exported.folder}: {exported.transformer} with {', '.join(parts)}; {decimal(exported.size)} "
        f"of {decimal(before)}",
        f"read back: {exported.tensors} tensors, names, shapes and bytes as in {exported.checkpoint} "
        f"({', '.join(f'{name} sha256 {digest[:12]}' for name, digest in exported.sha256.items())})",
    ]
    if exported.converted:
        lines.append(f"converted: {exported.converted}")
    load = f'{exported.transformer}.from_pretrained("{exported.folder}", torch_dtype=...)'
    # A bundled checkpoint whose autoencoder is stored in another's folder: diffusers has to be told where.
    place = weights_folder(checkpoint.folder / AUTOENCODER)
    vae = "" if place.is_relative_to(checkpoint.folder) else f', vae=AutoencoderKL.from_pretrained("{place}")'
    lines.append(f"model card: {exported.folder / 'README.md'}")
    return [
        *lines,
        f'use: {checkpoint.family.pipeline}.from_pretrained("{checkpoint.folder}", transformer={load}{vae})',
    ]

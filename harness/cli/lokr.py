"""``python -m harness lokr``: LoKr factors by block from angular distances, as SimpleTuner's LyCORIS file."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.analysis.lokr.weighting import Weighting
    from harness.models.checkpoints.resolve import Checkpoint
    from harness.results.arrays import Array

HEAD = ("block", "module", "image", "text", "contribution", "factor", "attention", "")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "lokr",
        help="weigh blocks by angular distance, and write SimpleTuner's LyCORIS file",
        description=(
            "Weigh the blocks of a checkpoint by the angular distance of their states, as the SD3.5-Large layer study "
            "did, and write the LoKr factors as SimpleTuner's LyCORIS file. Lower factor: more parameters."
        ),
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--records", type=Path, metavar="FILE.jsonl", help="angular distances, one sample a line")
    source.add_argument("--profile", type=Path, metavar="FILE.safetensors", help="a profile of layers")
    parser.add_argument("--checkpoint", required=True, help="whose blocks: bundled, real, a hub id or a folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where the file goes")
    parser.add_argument(
        "--critical",
        type=_numbers,
        metavar="0,31,35",
        help="blocks at factor 1, counted through all stacks; none: ''; default: those from the 95th percentile on",
    )
    parser.add_argument("--bins", type=int, default=10, help="timestep bins of --records (default: %(default)s)")
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="leave out the patterns without which LyCORIS shifts the factors by one block",
    )
    parser.set_defaults(call=_lokr)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of blocks like 0,31,35") from None


def _lokr(given: argparse.Namespace) -> None:
    from harness.analysis.lokr.weighting import blocks, dump, lycoris, weigh
    from harness.cli.tables import Section, draw
    from harness.files import write_atomically
    from harness.models.checkpoints.resolve import blueprint

    checkpoint, _ = blueprint(given.checkpoint)
    image, text, source = _maps(given, checkpoint)
    found = weigh(image, text, given.critical)
    names = blocks(checkpoint.family, checkpoint.stacks)
    config = lycoris(checkpoint.family, checkpoint.stacks, found.factors, as_published=given.as_published)
    table = Section(f"{checkpoint.name}, from {source}", HEAD, _rows(found, names))
    print(draw([table], shutil.get_terminal_size().columns if sys.stdout.isatty() else None), end="")
    write_atomically(given.out, dump(config))
    print(f"wrote {given.out}")


def _maps(given: argparse.Namespace, checkpoint: Checkpoint) -> tuple[Array, Array, str]:
    """Image and text maps that fit the checkpoint, and where they are from."""
    if given.profile is not None:
        from harness.analysis import profile as profiles
        from harness.analysis.lokr.weighting import maps

        profile = profiles.read(given.profile)
        if dict(profile.lengths) != dict(checkpoint.stacks):
            raise HarnessError(
                f"{given.profile} is of {profile.checkpoint} with {_said(profile.lengths)}, {checkpoint.name} has "
                f"{_said(checkpoint.stacks)}; measure this checkpoint"
            )
        image, text = maps(profile, [stack.name for stack in checkpoint.family.stacks])
        return image, text, f"{given.profile} ({profile.checkpoint}, {profile.setting}, {profile.prompts} prompts)"
    from harness.analysis.lokr.angle_records import read, timestep_means

    if given.bins < 1:
        raise HarnessError(f"--bins {given.bins}: there is at least one bin")
    means = timestep_means(read(given.records), given.bins)
    length = sum(checkpoint.stacks.values())
    if means.image.shape[1] != length:
        raise HarnessError(
            f"{given.records} has {means.image.shape[1]} image angles a line, {checkpoint.name} has {length} blocks "
            f"({_said(checkpoint.stacks)}); is it of another checkpoint?"
        )
    return means.image, means.text, f"{given.records} ({int(means.count.sum()):,} records)"


def _said(stacks: Mapping[str, int]) -> str:
    from harness.cli.tables import blocks

    return blocks(stacks)


def _rows(found: Weighting, names: list[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for i, (name, factor) in enumerate(zip(names, found.factors, strict=True)):
        values = (found.image[i], found.text[i], found.contribution[i])
        note = "critical" if i in found.critical else "as the block before" if math.isnan(values[2]) else ""
        numbers = ["-" if math.isnan(value) else f"{value:.3f}" for value in values]
        rows.append((str(i), name, *numbers, str(factor), str(2 * factor), note))
    return rows

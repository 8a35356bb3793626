"""Measure the angular distance across every block, on images noised to uniform levels, as the SD3.5-Large study did.

Writes a record for each image and level, a profile, or figures. ``python -m harness lokr`` weighs a LoKr by them.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from harness.analysis import profile as profiles
from harness.analysis.lokr.angle_records import TOP, AngleRecord, Writer
from harness.analysis.noised_images import on_noised, read_images
from harness.analysis.profile import REDUCTIONS
from harness.cli import common
from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import resolve
from harness.models.environment import pick_device
from harness.report.figures import write_all
from harness.results.arrays import Array


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", help="a bundled or real checkpoint, a hub id in the cache, or a folder")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="pictures with their captions beside them, NAME.png and NAME.txt (default: the bundled world's "
        "renderings, or the control's own images)",
    )
    parser.add_argument("--records", type=Path, metavar="FILE", help="append the study's JSON lines there")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="write the profile there, as safetensors")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="write heat maps there, PNG and HTML")
    parser.add_argument(
        "--levels", type=_count, default=10, help="how many noise levels, uniform in 0..1 (default: %(default)s)"
    )
    parser.add_argument(
        "--repeats", type=_count, default=1, help="samples of noise for each image and level (default: %(default)s)"
    )
    parser.add_argument(
        "--last", action="store_true", help="of the last token alone, as the study did, instead of the tokens' mean"
    )
    common.add_device(parser)
    common.add_dtype(parser)
    common.add_offload(parser)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return number


def run(arguments: argparse.Namespace) -> None:
    """Measure, and write what was asked for. Raises HarnessError where nothing was."""
    if not (arguments.records or arguments.profile or arguments.figures):
        raise HarnessError("nothing to write: give --records FILE, --profile FILE or --figures FOLDER")
    checkpoint = resolve(arguments.checkpoint, dtype=arguments.dtype)
    settings = checkpoint.settings
    # Before a large model is loaded.
    captioned = read_images(arguments.images, settings.height, settings.width) if arguments.images else None
    lab = Lab(checkpoint, device=pick_device(arguments.device), offload=arguments.offload)
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(arguments.records)) if arguments.records else None
        profile = on_noised(
            lab,
            images=None if captioned is None else captioned.pixels,
            captions=None if captioned is None else captioned.captions,
            levels=arguments.levels,
            repeats=arguments.repeats,
            sink=None if writer is None else _Sink(writer),
            reduction=REDUCTIONS[1] if arguments.last else REDUCTIONS[0],
        )
    if arguments.records:
        print(f"wrote {arguments.records}")
    if arguments.profile:
        profiles.write(profile, arguments.profile)
        print(f"wrote {arguments.profile}")
    if arguments.figures:
        for path in write_all(arguments.figures, checkpoint.name, noised=profile):
            print(f"wrote {path}")


class _Sink:
    """Writes the angles of each sample as one of the study's records."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, level: float, image: Array, text: Array) -> None:
        """Write the angles of a noise level in 0..1, which the study gives as a timestep in 0..1000."""
        angles = (tuple(map(float, stream)) for stream in (text, image))
        self._writer.add(AngleRecord(level * TOP, *angles))

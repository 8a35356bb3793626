"""Measure the angular distance across every block, on images noised to uniform levels, as the SD3.5-Large study did.

Writes a record for each image and level, a profile, or figures. ``python -m harness lokr`` weighs a LoKr by them.
``--as-published`` does all of it as the study did.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from harness.analysis import profile as profiles
from harness.analysis.lokr.angle_records import AngleRecord, Writer
from harness.analysis.noised_images import on_noised, read_images
from harness.analysis.profile import LAST, REDUCTIONS
from harness.cli import common
from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import resolve
from harness.models.environment import pick_device
from harness.report.figures import write_all
from harness.report.figures.timesteps import AngleFigures
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
        "--last",
        action="store_true",
        help="in records and figures the angles of the last token alone, as in the study, instead of the tokens' mean "
        "(a profile holds both)",
    )
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="as the study: the last token alone, and both streams clipped before they are combined in the figures",
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
    reduction = LAST if arguments.last or arguments.as_published else REDUCTIONS[0]
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
            reduction=reduction,
        )
    if arguments.records:
        print(f"wrote {arguments.records}")
    if arguments.profile:
        profiles.write(profile, arguments.profile)
        print(f"wrote {arguments.profile}")
    if arguments.figures:
        drawn = AngleFigures(reduction, clip_first=arguments.as_published)
        for path in write_all(arguments.figures, checkpoint.name, noised=profile, angles=drawn):
            print(f"wrote {path}")


class _Sink:
    """Writes the angles of each sample as one of the study's records."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, level: float, image: Array, text: Array) -> None:
        """Write the angles of a noise level in 0..1, which is the study's timestep."""
        angles = (tuple(map(float, stream)) for stream in (text, image))
        self._writer.add(AngleRecord(level, *angles))

"""``python -m harness angles``: the SD3.5-Large study's measurement on any checkpoint, and on your own images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.analysis import profile as profiles
from harness.errors import HarnessError
from harness.models.spec import DTYPES, OFFLOADS

if TYPE_CHECKING:
    from harness.analysis.lokr.angle_records import Writer
    from harness.results.arrays import Array


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "angles",
        help="angular distance over every block, on images noised to uniform levels: records, a profile, figures",
        description="Angular distance over every block on images noised to uniform levels, a record for each image "
        "and level. `python -m harness lokr` weighs a LoKr by them.",
    )
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
    parser.add_argument("--levels", type=_count, default=10, help="uniform levels of noise (default: %(default)s)")
    parser.add_argument("--repeats", type=_count, default=1, help="noises of each image in a level (default: 1)")
    parser.add_argument(
        "--last", action="store_true", help="by the last token alone, as the study did, and not the mean over tokens"
    )
    parser.add_argument("--device", default=None)
    parser.add_argument("--dtype", choices=DTYPES, default=None)
    parser.add_argument("--offload", choices=OFFLOADS, default="none")
    parser.set_defaults(call=_angles)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return number


def _angles(given: argparse.Namespace) -> None:
    from contextlib import ExitStack

    from harness.analysis.lokr.angle_records import Writer
    from harness.analysis.noised_images import on_noised, read_images
    from harness.analysis.profile import REDUCTIONS
    from harness.lab.lab import Lab
    from harness.models.checkpoints.resolve import resolve
    from harness.models.environment import pick_device
    from harness.report.figures import write_all

    if not (given.records or given.profile or given.figures):
        raise HarnessError("nothing to write: give --records FILE, --profile FILE or --figures FOLDER")
    checkpoint = resolve(given.checkpoint, dtype=given.dtype)
    settings = checkpoint.settings
    # Before a large model is loaded.
    captioned = read_images(given.images, settings.height, settings.width) if given.images else None
    lab = Lab(checkpoint, device=pick_device(given.device), offload=given.offload)
    with ExitStack() as stack:
        writer = stack.enter_context(Writer(given.records)) if given.records else None
        profile = on_noised(
            lab,
            images=None if captioned is None else captioned.pixels,
            captions=None if captioned is None else captioned.captions,
            levels=given.levels,
            repeats=given.repeats,
            sink=None if writer is None else Sink(writer),
            reduction=REDUCTIONS[1] if given.last else REDUCTIONS[0],
        )
    if given.records:
        print(f"wrote {given.records}")
    if given.profile:
        profiles.write(profile, given.profile)
        print(f"wrote {given.profile}")
    if given.figures:
        for path in write_all(given.figures, checkpoint.name, noised=profile):
            print(f"wrote {path}")


class Sink:
    """Takes what capture sees of a sample and writes it as one of the study's records."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __call__(self, level: float, image: Array, text: Array) -> None:
        """Write the angles of a noise level in 0..1, which the study gives as a timestep in 0..1000."""
        from harness.analysis.lokr.angle_records import TOP, AngleRecord

        angles = (tuple(map(float, stream)) for stream in (text, image))
        self._writer.add(AngleRecord(level * TOP, *angles))

"""Measure the cases of a work file into a run folder that other workers may share.

Each record is one file, written as soon as there is one. What the run folder holds is not measured again, so that a
worker that was stopped goes on where it was when it is started again. The runner, or `python -m harness merge`, makes
the journal and the ranking.
"""

from __future__ import annotations

import argparse

from harness.cli import common
from harness.results.journal import WHOLE, Shard
from harness.workers.store import Store, read_place
from harness.workers.work import FILE, read_work
from harness.workers.worker import run_part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("work", metavar="WORK.json", help="the work file, as sweep --work-file writes it; or its URL")
    parser.add_argument("--run", required=True, metavar="FOLDER-OR-URL", help="the run folder")
    parser.add_argument("--part", type=_part, default=WHOLE, metavar="I/N", help="only every N-th case, the I-th first")
    parser.add_argument(
        "--sharing",
        type=common.whole_number(1, 1024),
        default=1,
        metavar="N",
        help="so many workers share this device: they share its threads, and time no case (default: %(default)s)",
    )
    common.add_threads(parser)
    parser.add_argument("--parent", type=common.whole_number(1, 2**31), default=None, help=argparse.SUPPRESS)


def _part(text: str) -> Shard:
    try:
        return Shard.of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(arguments: argparse.Namespace) -> None:
    """Measure what the run folder lacks. Raises HarnessError."""
    work, store = read_work(read_place(arguments.work), arguments.work), Store(arguments.run)
    if store.read(FILE) is None:
        store.write(FILE, work.to_text().encode())  # by which merge knows when all cases are there
    run_part(
        work,
        store,
        arguments.part,
        workers=arguments.sharing,
        threads=arguments.threads,
        parent=arguments.parent,
        say=common.say,
    )

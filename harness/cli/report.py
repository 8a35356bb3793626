"""Write a run's ranking and contact sheet again, from its journal alone; needs no torch."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.cli import common
from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.results.journal import read
from harness.results.records import Record
from harness.workers.store import Store, is_url


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "run", metavar="RUN", help="a folder under reports/, a journal file, or the URL of a run folder"
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the ranking, and write it beside the journal."""
    store = Store(arguments.run)
    if store.folder is not None and not store.folder.is_dir():
        _report(store.folder, store.folder.parent, arguments.run)
        return
    with store.as_folder() as folder:
        _report(folder, folder, arguments.run)


def _report(run: Path, folder: Path, place: str) -> None:
    records = read(run, left_out=common.warn)
    if not show(folder, records, place if is_url(place) else ""):
        print(f"nothing to rank: {place or run} has {len(records)} records, and none of a variant's images or time")


def show(folder: Path, records: Sequence[Record], place: str = "") -> list[Path]:
    """Write the reports of a run into its folder, and print the ranking and the paths of what was written.

    ``place`` is the run folder's URL where ``folder`` is a copy of it.
    """
    written = write_ranking(folder, records, common.warn)
    print(render(records, shutil.get_terminal_size().columns, common.colour()), end="")
    for path in written:
        print(f"wrote {f'{place}/{path.relative_to(folder)}' if is_url(place) else path}")
    return written

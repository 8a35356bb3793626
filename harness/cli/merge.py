"""Put the shards of a run (pytest --dit-shard I/N) together into one run folder, and rank them; needs no torch."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from harness.cli.report import show
from harness.errors import HarnessError
from harness.report.tiles import IMAGES
from harness.results.journal import JOURNALS, Journal
from harness.results.merge import merged, shards_in


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="a run folder with shards")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the run folder to make")


def run(arguments: argparse.Namespace) -> None:
    """Write the whole run's journal, pictures and ranking, and print the ranking."""
    out: Path = arguments.out
    if any(out.glob(JOURNALS)):
        raise HarnessError(f"{out} holds a run already; give --out another folder")
    shards = shards_in(list(dict.fromkeys(run.resolve() for run in arguments.runs)))
    records = [replace(record, run=out.name) for record in merged(shards)]
    journal = Journal(out)
    for record in records:
        journal.append(record)
    journal.close()
    for path in shards.values():
        if (path.parent / IMAGES).is_dir():
            shutil.copytree(path.parent / IMAGES, out / IMAGES, dirs_exist_ok=True)
    show(out, records)

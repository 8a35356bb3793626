"""Write a run's ranking and contact sheet again, from its journal alone; needs no torch."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.results.journal import read
from harness.results.records import Record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a folder under reports/, or a journal file")


def run(arguments: argparse.Namespace) -> None:
    """Print the ranking, and write it beside the journal."""
    records = read(arguments.run, left_out=_warn)
    if not show(arguments.run if arguments.run.is_dir() else arguments.run.parent, records):
        print(f"nothing to rank: {arguments.run} has {len(records)} records, and none of a variant's images or time")


def show(folder: Path, records: Sequence[Record]) -> list[Path]:
    """Write the reports of a run into its folder, and print the ranking and the paths of what was written."""
    written = write_ranking(folder, records, _warn)
    print(render(records, shutil.get_terminal_size().columns, sys.stdout.isatty()), end="")
    for path in written:
        print(f"wrote {path}")
    return written


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)

"""Write a run's ranking and contact sheet again, from its journal alone; needs no torch."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from harness.report.ranking_files import write_ranking
from harness.report.ranking_terminal import render
from harness.results.journal import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a folder under reports/, or a journal file")


def run(arguments: argparse.Namespace) -> None:
    """Print the ranking, and write it beside the journal."""
    records = read(arguments.run, left_out=_warn)
    folder = arguments.run if arguments.run.is_dir() else arguments.run.parent
    written = write_ranking(folder, records, _warn)
    print(render(records, shutil.get_terminal_size().columns, sys.stdout.isatty()), end="")
    if not written:
        print(f"nothing to rank: {arguments.run} has {len(records)} records, and none of a variant's images or time")
    for path in written:
        print(f"wrote {path}")


def _warn(line: str) -> None:
    print(f"warning: {line}", file=sys.stderr)

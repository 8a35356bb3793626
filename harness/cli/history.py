"""Each case's harm, drift and speed-up over many runs: what changed and since when, from their journals alone.

Prints what is red in the last run and since when, and every change of a figure with the run, its date and the versions
that differ from the run before. Writes the same with a chart of each figure as history.html, and as history.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from harness.cli import common
from harness.files import write_atomically
from harness.report.history_text import markdown, render
from harness.report.html.history_page import history_page
from harness.report.ranking_data import finite
from harness.results.history import to_json
from harness.results.journal import JOURNALS
from harness.results.make_history import history, read_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUNS", help="a folder of run folders (reports/), or run folders"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where history.html and history.json go (default: the folder of the runs)",
    )
    parser.add_argument(
        "--as-listed",
        action="store_true",
        help="the runs are in the order of the command line, not by date: of versions, say",
    )
    common.add_markdown(parser, "what is red and what changed")


def run(arguments: argparse.Namespace) -> None:
    """Print what is red and what changed, and write the page and the JSON."""
    runs = read_runs(arguments.runs, common.warn, as_listed=arguments.as_listed)
    made = history(runs)
    folder: Path = arguments.out or _folder_of(arguments.runs[0])
    print(render(made, shutil.get_terminal_size().columns, sys.stdout.isatty()), end="")
    for name, text in (
        ("history.html", history_page(made)),
        ("history.json", json.dumps(finite(to_json(made)), indent=1, allow_nan=False) + "\n"),
    ):
        write_atomically(folder / name, text)
        print(f"wrote {folder / name}")
    common.write_markdown(arguments.markdown, markdown(made))


def _folder_of(place: Path) -> Path:
    """The folder that holds the run folders."""
    run_folder = place.parent if place.is_file() else place
    return run_folder.absolute().parent if place.is_file() or any(place.glob(JOURNALS)) else place

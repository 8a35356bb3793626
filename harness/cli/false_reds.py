"""Count the red runs among runs without any fault, and bound the rate of such runs from above.

``python -m harness repeat`` makes such runs. The bound is Clopper and Pearson's, at 95 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli import common
from harness.gates.validation.false_reds import CleanRun
from harness.report.false_reds_page import markdown
from harness.results.journal import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders under reports/")
    common.add_markdown(parser, "the table")
    parser.add_argument("--fail", action="store_true", help="exit 1 where any run was red")


def run(arguments: argparse.Namespace) -> int:
    """Print the table; 1 where ``--fail`` applies."""
    red = count(arguments.runs, arguments.markdown)
    return 1 if arguments.fail and red else 0


def count(folders: list[Path], page: Path | None) -> int:
    """Print the table of these runs, write it to ``page``, too, and return how many were red.

    Raises JournalError for a folder without a journal.
    """
    runs = [CleanRun.of(path.name, read(path)) for path in folders]
    text = markdown(runs)
    print(text)
    common.write_markdown(page, text)
    return sum(bool(run.red) for run in runs)

"""Paired differences between two runs, gravest first, with intervals over prompts; from their journals alone."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from harness.cli import common
from harness.gates.comparison import Strictness, compare
from harness.report.comparison_page import markdown, render
from harness.results.journal import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("a", type=Path, metavar="RUN_A", help="a folder under reports/, or a journal file")
    parser.add_argument("b", type=Path, metavar="RUN_B", help="the run that is compared with it")
    parser.add_argument("--all", action="store_true", dest="everything", help="show what did not change, too")
    common.add_tolerances(parser)
    common.add_markdown(parser, "the comparison")
    fail = parser.add_mutually_exclusive_group()
    fail.add_argument(
        "--fail-on-regression",
        dest="fail_on",
        action="store_const",
        const="regression",
        help="exit 1 where anything is significantly worse, by more than its tolerance, or a case is missing or failed",
    )
    fail.add_argument(
        "--fail-on",
        choices=[strictness.value for strictness in Strictness],
        help="exit 1 for such a regression, for any change beyond a tolerance, or for any bit that differs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison; 1 where ``--fail-on`` applies."""
    comparisons = compare(read(arguments.a), read(arguments.b), common.read_tolerances(arguments))
    width = shutil.get_terminal_size().columns
    print(render(comparisons, width, common.colour(), everything=arguments.everything), end="")
    common.write_markdown(arguments.markdown, markdown(comparisons, everything=arguments.everything))
    return 1 if arguments.fail_on and any(c.differs(Strictness(arguments.fail_on)) for c in comparisons) else 0

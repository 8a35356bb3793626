"""``python -m harness compare RUN_A RUN_B``: what moved between two runs, from their journals alone."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from harness.cli import common


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compare",
        help="paired differences between two runs: two diffusers versions, two devices, two checkpoints",
        description="Paired differences between two runs, gravest first, with intervals over prompts.",
    )
    parser.add_argument("a", type=Path, metavar="RUN_A", help="a folder under reports/, or a journal file")
    parser.add_argument("b", type=Path, metavar="RUN_B", help="the run that is held against it")
    parser.add_argument("--all", action="store_true", dest="everything", help="also what did not move")
    common.add(parser)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write it as Markdown, too")
    fail = parser.add_mutually_exclusive_group()
    fail.add_argument(
        "--fail-on-regression",
        dest="fail_on",
        action="store_const",
        const="regression",
        help="exit 1 where anything got surely worse than its tolerance allows",
    )
    fail.add_argument(
        "--fail-on",
        choices=("regression", "change", "bits"),
        help="exit 1 for that, for anything beyond a tolerance, or for anything that is not bitwise the same",
    )
    parser.set_defaults(call=_compare)


def _compare(given: argparse.Namespace) -> int:
    from harness.files import write_atomically
    from harness.gates.comparison import Strictness, compare
    from harness.report.comparison_page import markdown, render
    from harness.results.journal import read

    found = compare(read(given.a), read(given.b), common.read(given))
    width = shutil.get_terminal_size().columns
    print(render(found, width, sys.stdout.isatty(), everything=given.everything), end="")
    if given.markdown is not None:
        write_atomically(given.markdown, markdown(found, everything=given.everything))
        print(f"wrote {given.markdown}")
    return 1 if given.fail_on and any(c.differs(Strictness(given.fail_on)) for c in found) else 0

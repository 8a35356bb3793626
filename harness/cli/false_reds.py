"""``python -m harness false-reds RUNS``: how often clean runs were red, and the rate that this number supports."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "false-reds",
        help="how many clean runs were red, and the upper bound on the rate that this number supports",
        description="Count red runs among repeated clean ones. `nox -s repeat -- 60` makes them.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders under reports/")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too")
    parser.add_argument("--fail", action="store_true", help="exit 1 where any run was red")
    parser.set_defaults(call=_false_reds)


def _false_reds(given: argparse.Namespace) -> int:
    from harness.files import write_atomically
    from harness.gates.validation.false_reds import CleanRun
    from harness.report.false_reds_page import markdown
    from harness.results.journal import read

    runs = [CleanRun.of(path.name, read(path)) for path in given.runs]
    text = markdown(runs)
    print(text)
    if given.markdown is not None:
        write_atomically(given.markdown, text)
        print(f"wrote {given.markdown}")
    return 1 if given.fail and any(run.red for run in runs) else 0

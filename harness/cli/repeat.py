"""Run the quick cases many times without any fault, each time under other circumstances, and count the red runs.

The circumstances of a run are drawn from its number: threads, batch size, instruction set, attention kernel, and one or
two ulps added to the initial latents. Complete runs are not made again, so an interrupted command goes on where it was.

    python -m harness repeat 60 -- -k flux
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from importlib import metadata
from pathlib import Path

from harness.cli import case_runs, common, false_reds
from harness.cli.case_runs import CaseRuns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "number", nargs="?", type=_count, default=60, metavar="NUMBER", help="how many runs (default: %(default)s)"
    )
    common.add_cases(parser, Path("reports/repeat"))
    common.add_markdown(parser, "the table")
    parser.add_argument("--fail", action="store_true", help="exit 1 where any run was red")
    common.add_pytest_arguments(parser)


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no number of runs")
    return int(text)


def same_goes_on(_arguments: argparse.Namespace) -> bool:
    """Complete runs are not made again."""
    return True


def run(arguments: argparse.Namespace, execute: case_runs.Execute = case_runs.execute) -> int:
    """Make the runs that aren't there, and print the table; 1 where ``--fail`` applies.

    Raises HarnessError where a run can't be made.
    """
    runs = CaseRuns(arguments.cases, arguments.reports, tuple(arguments.pytest_arguments), execute)
    made_with = _packages() + case_runs.contents(Path("baselines"))  # whether a run is red depends on both
    folders = [
        runs.make_once(
            f"{index:03d}",
            Path(sys.executable),
            "--dit-quick",
            *(f"--dit-perturb={change}" for change in circumstances(index)),
            made_with=made_with,
        )
        for index in range(arguments.number)
    ]
    red = false_reds.count(folders, arguments.markdown or arguments.reports / "false-reds.md")
    return 1 if arguments.fail and red else 0


def circumstances(index: int) -> list[str]:
    """What is changed in the run of that number, as ``--dit-perturb`` takes it."""
    draw = random.Random(index)  # noqa: S311 - a design of experiments, no secret
    return [
        f"threads={draw.choice((1, 2, 3, 4))}",
        f"batch={draw.choice((5, 8, 16, 24, 32, 64))}",
        *draw.choice(((), ("cpu=avx2",), ("cpu=default",))),
        *draw.choice(((), ("sdpa=math",))),
        *draw.choice(((), ("ulp=1",), ("ulp=2",))),
    ]


def _packages() -> str:
    """Every installed package with its version: runs that were made with others are made again."""
    return json.dumps(sorted({f"{d.name}=={d.version}" for d in metadata.distributions()}))

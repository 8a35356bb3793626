"""Options that name the cases of one checkpoint: a grid of stacks, ranges and strategies, or plans by hand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.ablation.case import Case
from harness.ablation.grid import grid
from harness.ablation.guidance import GuidancePass
from harness.ablation.steps import Window
from harness.models.checkpoints.cases import cases_of_grid, cases_of_plans
from harness.models.checkpoints.resolve import Checkpoint


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Add ``--stack``, ``--range``, ``--strategy``, ``--plan`` and ``--modifier``; :func:`read_grid` reads them."""
    for name, about in (
        ("stack", "only these stacks (repeat, or separate by commas; default: all)"),
        ("range", "these ranges: 3, 4-7, middle, each ... (default: middle)"),
        ("strategy", "these strategies: skip, parallel.t3 ... (default: the harness's own)"),
    ):
        parser.add_argument(f"--{name}", action="append", default=[], metavar=name[0].upper(), help=about)
    parser.add_argument(
        "--plan",
        action="append",
        default=[],
        metavar="PLAN",
        help="a plan written by hand, instead of a grid (repeat for more)",
    )
    parser.add_argument(
        "--modifier",
        action="append",
        default=[],
        metavar="M",
        help="these modifiers, on each strategy or plan that is asked for, else alone: fewer-steps.3, "
        "single-L02-07-reuse.n2, a+b for both at once ... (repeat, or separate by commas)",
    )


def read_grid(
    arguments: argparse.Namespace,
    checkpoint: Checkpoint,
    windows: Sequence[Window] = (),
    passes: Sequence[GuidancePass] = (),
) -> list[Case]:
    """The cases that the options of :func:`add_grid` name, in each window and pass. Raises CaseError or PlanError."""
    modifiers = several(arguments.modifier)
    if arguments.plan:
        return cases_of_plans(checkpoint, arguments.plan, modifiers=modifiers, windows=windows, passes=passes)
    ask = grid(
        checkpoint.stacks,
        only=several(arguments.stack),
        ranges=several(arguments.range),
        strategies=several(arguments.strategy),
        modifiers=modifiers,
    )
    return cases_of_grid(checkpoint, [ask], windows=windows, passes=passes)


def several(arguments: Sequence[str]) -> list[str]:
    """The values of an option that is repeated, or has commas."""
    return [part.strip() for value in arguments for part in value.split(",") if part.strip()]

"""Options that name the cases of one checkpoint: a grid of stacks, ranges and strategies, or plans by hand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.ablation.case import Case, by_hand
from harness.ablation.grid import expand, grid
from harness.models.checkpoints.resolve import Checkpoint


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Add ``--stack``, ``--range``, ``--strategy`` and ``--plan``; :func:`read_grid` reads them."""
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


def read_grid(arguments: argparse.Namespace, checkpoint: Checkpoint) -> list[Case]:
    """The cases that the options of :func:`add_grid` name. Raises CaseError or PlanError."""
    names, parts = checkpoint.family.diffusers_names, checkpoint.family.parts
    if arguments.plan:
        return [by_hand(checkpoint.name, checkpoint.stacks, text, names=names, parts=parts) for text in arguments.plan]
    ask = grid(
        checkpoint.stacks,
        only=several(arguments.stack),
        ranges=several(arguments.range),
        strategies=several(arguments.strategy),
    )
    return expand(checkpoint.name, checkpoint.stacks, [ask.renamed(names)], parts=parts)


def several(arguments: Sequence[str]) -> list[str]:
    """The values of an option that is repeated, or has commas."""
    return [part.strip() for value in arguments for part in value.split(",") if part.strip()]

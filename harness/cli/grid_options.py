"""Options that name the cases of one checkpoint: a grid of stacks, ranges and strategies, or plans by hand."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness.ablation.case import Case, by_hand
from harness.ablation.grid import expand, grid, with_modifiers
from harness.ablation.modifiers import read_modifiers
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


def read_grid(arguments: argparse.Namespace, checkpoint: Checkpoint) -> list[Case]:
    """The cases that the options of :func:`add_grid` name. Raises CaseError or PlanError."""
    names, parts = checkpoint.family.diffusers_names, checkpoint.family.parts
    steps, modifiers = checkpoint.settings.steps, several(arguments.modifier)
    if arguments.plan:
        together = [read_modifiers(text) for text in modifiers]
        cases = [by_hand(checkpoint.name, checkpoint.stacks, text, names=names, parts=parts) for text in arguments.plan]
        return [each for case in cases for each in with_modifiers(case, together, checkpoint.stacks, steps)]
    ask = grid(
        checkpoint.stacks,
        only=several(arguments.stack),
        ranges=several(arguments.range),
        strategies=several(arguments.strategy),
        modifiers=modifiers,
    )
    return expand(checkpoint.name, checkpoint.stacks, [ask.renamed(names)], steps=steps, parts=parts)


def several(arguments: Sequence[str]) -> list[str]:
    """The values of an option that is repeated, or has commas."""
    return [part.strip() for value in arguments for part in value.split(",") if part.strip()]

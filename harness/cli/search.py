"""Search for the blocks that can go together: the least harmful plan that saves what is asked for.

A selector asks for velocity errors of sets of blocks, on a few prompts and steps of the control's own trajectory. The
best sets that it measured are then run on images, with an interval of their harm: what is printed is ranked by harm.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from harness.analysis.screening import evenly_spaced
from harness.cli import common
from harness.cli.tables import Section, draw
from harness.errors import HarnessError
from harness.files import write_atomically
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import resolve
from harness.models.environment import pick_device
from harness.report.text import number, spreadsheet_text
from harness.results.statistics import Interval
from harness.search.confirm import harm_of
from harness.search.evaluation import Evaluations, Exhausted
from harness.search.removals import Blocks, Removal
from harness.search.selectors import SELECTORS, Problem
from harness.search.shares import parameter_shares, time_shares
from harness.search.velocity_search import velocity_measure

_UNITS = {"remove": "blocks", "speedup": "of a forward's time", "params": "of the parameters"}
_PROMPTS, _STEPS = 4, 2  # that errors are measured on


class _Goal(NamedTuple):
    """What is to be saved: the share of each block, how much of it, and its unit."""

    blocks: Blocks
    target: float
    unit: str


class Confirmed(NamedTuple):
    """A removal that was run on images: its velocity error, and its harm in points of the judge's score."""

    removal: Removal
    error: float
    harm: Interval


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", help="a bundled or real checkpoint, a hub id in the cache, or a folder")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--remove", type=common.whole_number(1, 10_000), metavar="N", help="leave out N blocks")
    goal.add_argument("--speedup", type=_above_one, metavar="X", help="a forward X times as fast, such as 1.25")
    goal.add_argument("--params", type=_share, metavar="P", help="at most this share of the parameters, such as 0.8")
    parser.add_argument(
        "--selector", choices=sorted(SELECTORS), default="evolution", help="how to search (default: %(default)s)"
    )
    parser.add_argument(
        "--evaluations",
        type=common.whole_number(1, 1_000_000),
        default=300,
        metavar="N",
        help="how many sets of blocks may be measured (default: %(default)s)",
    )
    parser.add_argument(
        "--confirm",
        type=common.whole_number(1, 100),
        default=3,
        metavar="N",
        help="how many of the best sets are run on images (default: %(default)s)",
    )
    common.add_taken(parser, _PROMPTS, _STEPS)
    parser.add_argument("--seed", type=common.whole_number(0, 2**31), default=0, metavar="N", help="of the search")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there, too")
    common.add_device(parser)
    common.add_dtype(parser)
    common.add_offload(parser)


def _above_one(text: str) -> float:
    return _number(text, lambda value: 1 < value <= 1000, "a number above 1")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 < value < 1, "a number between 0 and 1")


def _number(text: str, sound: Callable[[float], bool], what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not sound(value):
        raise argparse.ArgumentTypeError(f"takes {what}, not {text[:60]!r}")
    return value


def run(arguments: argparse.Namespace) -> None:
    """Search, confirm on images, and print the plans. Raises HarnessError where no plan saves enough."""
    checkpoint = resolve(arguments.checkpoint, dtype=arguments.dtype)
    lab = Lab(checkpoint, device=pick_device(arguments.device), offload=arguments.offload)
    goal = _goal(arguments, lab)
    prompts = [lab.prompts[i] for i in evenly_spaced(arguments.take_prompts, len(lab.prompts))]
    steps = evenly_spaced(arguments.take_steps, checkpoint.settings.steps)
    measure = velocity_measure(lab.sampler, checkpoint.stacks, prompts, steps)
    errors = Evaluations(measure, float(arguments.evaluations))
    problem = Problem(goal.blocks, goal.target, errors, np.random.default_rng(arguments.seed))
    try:
        found = SELECTORS[arguments.selector](problem)
    except Exhausted:
        found = None
    best = _best(problem, found, arguments.confirm)
    if not best:
        raise HarnessError(
            f"{arguments.evaluations} evaluations are too few for the selector {arguments.selector!r} on "
            f"{goal.blocks.count} blocks; give --evaluations more"
        )
    errors.budget = None  # what the selector returned may not have been measured in full
    found_errors = errors(best)
    harms = [harm_of(lab, goal.blocks, removal) for removal in best]
    confirmed = sorted(map(Confirmed, best, found_errors, harms), key=lambda each: each.harm.value)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(draw([_table(checkpoint.name, arguments.selector, goal, errors, confirmed)], width), end="")
    for line in _ways_on(arguments.checkpoint, goal.blocks.plan(confirmed[0].removal)):
        print(line)
    if arguments.csv:
        write_atomically(arguments.csv, _csv(goal, confirmed))
        print(f"wrote {arguments.csv}")


def _goal(arguments: argparse.Namespace, lab: Lab) -> _Goal:
    lengths = lab.checkpoint.stacks
    if arguments.remove is not None:
        return _Goal(Blocks.alike(lengths), float(arguments.remove), _UNITS["remove"])
    if arguments.speedup is not None:
        return _Goal(Blocks(lengths, time_shares(lab)), 1.0 - 1.0 / arguments.speedup, _UNITS["speedup"])
    return _Goal(Blocks(lengths, parameter_shares(lab)), 1.0 - arguments.params, _UNITS["params"])


def _best(problem: Problem, found: Removal | None, count: int) -> list[Removal]:
    """What the selector found, then the best others that it measured and that save enough."""
    allowed = [removal for removal in problem.errors.fine if problem.allowed(removal)]
    ranked = sorted(allowed, key=lambda removal: (problem.errors.fine[removal], sorted(removal)))
    first = [] if found is None else [found]
    return list(dict.fromkeys([*first, *ranked]))[:count]


def _table(checkpoint: str, selector: str, goal: _Goal, errors: Evaluations, confirmed: Sequence[Confirmed]) -> Section:
    title = (
        f"{checkpoint}: the best of {len(errors.fine)} sets of blocks that save {goal.target:.3g} {goal.unit}, by "
        f"{selector} at the cost of {errors.spent:.0f} evaluations; harm on images"
    )
    rows = [
        (
            str(rank),
            goal.blocks.text(each.removal),
            f"{number(each.harm.value, '.2f')} [{number(each.harm.low, '.2f')}, {number(each.harm.high, '.2f')}]",
            number(each.error, ".3g"),
            number(goal.blocks.saved(each.removal), ".3g"),
        )
        for rank, each in enumerate(confirmed, start=1)
    ]
    return Section(title, ("#", "plan", "harm [points]", "velocity error", "saved"), rows)


def _csv(goal: _Goal, confirmed: Sequence[Confirmed]) -> str:
    rows = [
        {
            "rank": rank,
            "plan": goal.blocks.text(each.removal),
            "harm": each.harm.value,
            "harm_low": each.harm.low,
            "harm_high": each.harm.high,
            "velocity_error": each.error,
            "saved": goal.blocks.saved(each.removal),
        }
        for rank, each in enumerate(confirmed, start=1)
    ]
    return pd.DataFrame(rows).map(spreadsheet_text).to_csv(index=False, float_format="%.6g")


def _ways_on(checkpoint: str, plans: Mapping[str, object]) -> list[str]:
    """The commands that take the best plan further. A run of cases is of one stack."""
    name = shlex.quote(checkpoint)
    texts = [shlex.quote(f"{stack}: {plan}") for stack, plan in plans.items()]
    lines = [f"save it:  python -m harness export --checkpoint {name} {' '.join(f'--plan {t}' for t in texts)} OUT"]
    if len(texts) == 1:
        lines.append(f"test it:  pytest cases/ --dit-checkpoint={name} --dit-plan {texts[0]} -k plan")
    return lines

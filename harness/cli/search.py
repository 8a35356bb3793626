"""Search for the blocks that can go together: the least harmful plan that saves what is asked for.

A selector asks for velocity errors of sets of blocks, on a few prompts and steps of the control's own trajectory. The
best sets that it measured are then run on images, with an interval of their harm, and so is the best one at some
smaller savings: the result is a front of harm against speed-up. `--strategies` adds other plans: those of a strategy,
such as repeat, on every range on which it saves what is asked for.

With `--out FOLDER` every result is kept in `FOLDER/search.jsonl` as it is measured: the same command goes on where it
was stopped. The front is written there as `front.md`, `front.csv`, `front.json` and `front.png`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from harness.ablation.removals import Blocks
from harness.ablation.strategies import ConfiguredStrategy, choose
from harness.analysis.screening import evenly_spaced
from harness.cli import common
from harness.cli.grid_options import several
from harness.cli.tables import Section, draw
from harness.errors import HarnessError
from harness.files import write_atomically
from harness.lab.lab import Lab
from harness.models import prompts as prompt_files
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.models.environment import pick_device
from harness.report.search_files import SearchReport, write_search
from harness.results.serialise import to_plain
from harness.search.confirm import harm_of, why_not_exported
from harness.search.front_search import remembered, remembered_harm, search
from harness.search.goal import Goal, Saving
from harness.search.journal import Journal, MeasuredOn, MeasuredShares, open_journal, read_journal, refuse_other
from harness.search.nsga2 import check_installed
from harness.search.range_plans import check_saves
from harness.search.selectors import SELECTORS
from harness.search.shares import parameter_shares, time_shares
from harness.search.velocity_search import VelocityErrors

_PROMPTS, _STEPS = 4, 2  # that errors are measured on
_JOURNAL = "search.jsonl"


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
        "--strategies",
        action="append",
        default=[],
        metavar="S,S",
        help="also these strategies, such as repeat, on every range on which they save as much (default: only skips)",
    )
    parser.add_argument(
        "--evaluations",
        type=common.whole_number(1, 1_000_000),
        default=300,
        metavar="N",
        help="how many sets of blocks and plans of strategies may be measured (default: %(default)s)",
    )
    parser.add_argument(
        "--confirm",
        type=common.whole_number(1, 100),
        default=3,
        metavar="N",
        help="how many of the best sets, and of the best plans of strategies, are run on images (default: %(default)s)",
    )
    parser.add_argument(
        "--front",
        type=common.whole_number(0, 20),
        default=3,
        metavar="N",
        help="at how many smaller savings the best set is looked for, too, each with a quarter as many evaluations "
        "(default: %(default)s)",
    )
    common.add_taken(parser, _PROMPTS, _STEPS)
    parser.add_argument("--seed", type=common.whole_number(0, 2**31), default=0, metavar="N", help="of the search")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="keep every result there, go on from it, and write the front"
    )
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


def same_goes_on(arguments: argparse.Namespace) -> bool:
    """Whether there is a journal that the same command goes on from."""
    return arguments.out is not None


def run(arguments: argparse.Namespace) -> None:
    """Search, confirm on images, and print the plans. Raises HarnessError where no plan saves enough."""
    checkpoint = resolve(arguments.checkpoint, dtype=arguments.dtype)
    texts = prompt_files.read(checkpoint.prompts_file or prompt_files.DEFAULT)
    prompts = evenly_spaced(arguments.take_prompts, len(texts))
    steps = evenly_spaced(arguments.take_steps, checkpoint.settings.steps)
    strategies = _strategies(arguments, checkpoint)
    _check_early(arguments, checkpoint, prompts, steps)
    lab = Lab(checkpoint, device=pick_device(arguments.device), offload=arguments.offload)
    on = MeasuredOn(lab.fingerprint, prompts, steps)
    journal = None if arguments.out is None else open_journal(arguments.out / _JOURNAL, on)
    if journal is not None and (known := len(journal.errors) + len(journal.harms)):
        print(f"{journal.path}: goes on from {known} results" + (f"; {journal.note}" if journal.note else ""))
    goal = _goal(arguments, lab, journal)
    harm = partial(harm_of, lab, goal.blocks)
    measure = VelocityErrors(lab.sampler, checkpoint.stacks, [lab.prompts[i] for i in prompts], steps)
    result = search(
        goal,
        arguments.selector,
        measure if journal is None else remembered(measure, journal),
        harm if journal is None else remembered_harm(harm, journal),
        evaluations=arguments.evaluations,
        confirm=arguments.confirm,
        smaller=arguments.front,
        seed=arguments.seed,
        strategies=strategies,
    )
    reasons = {plan.candidate: why_not_exported(lab, goal.blocks, plan.candidate) for plan in result.plans}
    not_exported = {candidate: reason for candidate, reason in reasons.items() if reason}
    report = SearchReport(result, arguments.checkpoint, checkpoint.name, len(lab.prompts), not_exported)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(draw([Section(report.title, report.head, report.rows)], width), end="")
    if report.left_out:
        print(report.left_out)
    print(f"the evaluations made now cost {measure.control_images:.1f} control images")
    _print_commands(report)
    if arguments.csv:
        write_atomically(arguments.csv, report.csv())
        print(f"wrote {arguments.csv}")
    if arguments.out is not None:
        paths = write_search(arguments.out, report, to_plain(on))
        print(f"wrote {', '.join(str(path) for path in paths)}")


def _print_commands(report: SearchReport) -> None:
    """What takes the best plan further, and what saves the best one that can be saved."""
    best = report.result.plans[0]
    commands = report.commands(best)
    if commands.export is not None:
        print(f"save it:  {commands.export}")
    else:
        print(f"the best one: {report.not_exported[best.candidate]}")
        for rank, plan in enumerate(report.result.plans, start=1):
            export = report.commands(plan).export
            if plan.asked and export is not None:
                print(f"save number {rank}:  {export}")
                break
    what = "test it:" if len(commands.tests) == 1 else "test its part of one stack:"
    for line in commands.tests:
        print(f"{what}  {line}")


def _check_early(
    arguments: argparse.Namespace, checkpoint: Checkpoint, prompts: tuple[int, ...], steps: tuple[int, ...]
) -> None:
    """Raise HarnessError for what can be known to fail before the model is loaded."""
    count = sum(checkpoint.stacks.values())
    if arguments.remove is not None and arguments.remove > count:
        raise HarnessError(f"no plan saves {arguments.remove} blocks: {checkpoint.name} has {count}")
    if arguments.selector == "nsga2":
        check_installed()
    if arguments.csv is not None:
        common.check_writable(arguments.csv)
    if arguments.out is None:
        return
    path = arguments.out / _JOURNAL
    common.check_writable(path)
    if path.exists():
        earlier = read_journal(path).on
        taken = MeasuredOn(earlier.fingerprint, prompts, steps)
        changed = earlier.differences(taken)
        if earlier.fingerprint.checkpoint != checkpoint.name:
            changed.insert(0, f"checkpoint {earlier.fingerprint.checkpoint} -> {checkpoint.name}")
        refuse_other(path, changed)


def _strategies(arguments: argparse.Namespace, checkpoint: Checkpoint) -> list[ConfiguredStrategy]:
    """What ``--strategies`` names, each once. Raises HarnessError for one that is unknown or saves nothing."""
    chosen = [choose(text) for text in several(arguments.strategies)]
    strategies = list({str(strategy): strategy for strategy in chosen}.values())
    if arguments.strategies and not strategies:
        raise HarnessError("--strategies names none; write it like --strategies repeat,skip")
    check_saves(strategies, checkpoint.stacks, _saving(arguments))
    return strategies


def _saving(arguments: argparse.Namespace) -> Saving:
    if arguments.remove is not None:
        return Saving.RUNS
    return Saving.TIME if arguments.params is None else Saving.PARAMETERS


def _goal(arguments: argparse.Namespace, lab: Lab, journal: Journal | None) -> Goal:
    lengths = lab.checkpoint.stacks
    saving = _saving(arguments)
    if saving is Saving.RUNS:
        return Goal(Blocks.alike(lengths), float(arguments.remove), saving, float(sum(lengths.values())))
    if saving is Saving.PARAMETERS:
        return Goal(Blocks(lengths, parameter_shares(lab)), 1.0 - arguments.params, saving)
    # What was timed once is kept: another timing would ask for other sets.
    shares = None if journal is None else journal.time_shares
    if shares is None:
        shares = time_shares(lab)
        if journal is not None:
            journal.append([MeasuredShares(shares)])
    return Goal(Blocks(lengths, shares), 1.0 - 1.0 / arguments.speedup, saving)

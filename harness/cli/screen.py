"""Rank single skips, and plans of your own, by what they do to the velocity: no image of a variant is made.

The order is that of the velocity error on the control's own trajectory, on a few prompts and steps. It costs about as
much as 30 images of the control. Where harms are stored, the last lines say how far the order agrees with theirs.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from harness.ablation.grid import Ask, expand
from harness.ablation.plan import Plan
from harness.analysis.screening import Screening, affordable, against_harm, doubts, evenly_spaced, screen
from harness.analysis.velocity import single_skips
from harness.cli import common
from harness.cli.tables import Section, draw
from harness.files import write_atomically
from harness.gates import baselines
from harness.models import prompts as prompt_files
from harness.models.checkpoints.cases import plan_of
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.models.environment import device_key, pick_device
from harness.models.loading import load
from harness.models.sampler import Sampler
from harness.report.text import number, spreadsheet_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", help="a bundled or real checkpoint, a hub id in the cache, or a folder")
    parser.add_argument(
        "--plan",
        action="append",
        default=[],
        metavar="PLAN",
        help='a plan beside the single skips, such as "double: 0-1 3-4"; may be repeated',
    )
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="default: the checkpoint's own prompts")
    common.add_taken(parser, "4 to 8, for some 30 control images", "1 to 5, for some 30 control images")
    parser.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there, too")
    common.add_device(parser)
    common.add_dtype(parser)
    common.add_offload(parser)


def run(arguments: argparse.Namespace) -> None:
    """Screen, and print the table. Raises HarnessError for a wrong plan before the model is loaded."""
    checkpoint = resolve(arguments.checkpoint, dtype=arguments.dtype)
    lengths = checkpoint.stacks
    plans: list[Mapping[str, Plan]] = [*single_skips(lengths)]
    for text in arguments.plan:
        plan, stack = plan_of(checkpoint, text)
        plans.append({stack: plan})
    texts = prompt_files.read(arguments.prompts or checkpoint.prompts_file or prompt_files.DEFAULT)
    prompts_taken, steps_taken = affordable(lengths, plans, checkpoint.settings.steps)
    prompts = [texts[i] for i in evenly_spaced(arguments.take_prompts or prompts_taken, len(texts))]
    steps = evenly_spaced(arguments.take_steps or steps_taken, checkpoint.settings.steps)
    device = pick_device(arguments.device)
    harms = _stored_harms(checkpoint, arguments.baselines, device_key(device))
    pipeline = load(checkpoint, device, offload=arguments.offload)
    sampler = Sampler(pipeline, checkpoint.family, checkpoint.settings, checkpoint.settings.batch)
    screening = screen(sampler, lengths, prompts, plans, steps=steps)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(draw([_table(checkpoint, screening)], width), end="")
    agreement = against_harm(screening, harms)
    if agreement is not None:
        print(f"rank correlation with the stored harms: {agreement}")
    for doubt in doubts(screening, agreement):
        print(f"don't trust it as it is: {doubt}")
    if arguments.csv:
        table = pd.DataFrame(_rows(screening, ".6g"), columns=["rank", "plan", "error", "low", "high", "share"])
        write_atomically(arguments.csv, table.map(spreadsheet_text).to_csv(index=False))
        print(f"wrote {arguments.csv}")


def _table(checkpoint: Checkpoint, screening: Screening) -> Section:
    title = (
        f"{checkpoint.name}: velocity errors of {len(screening.plans)} plans, {screening.prompts} prompts, "
        f"{len(screening.steps)} of {checkpoint.settings.steps} steps; cost {screening.cost:.1f} control images"
    )
    rows = [
        (rank, plan, f"{error} [{low}, {high}]", share)
        for rank, plan, error, low, high, share in _rows(screening, ".3g")
    ]
    return Section(title, ("#", "plan", "velocity error", "of the control's blocks"), rows)


def _rows(screening: Screening, form: str) -> list[tuple[str, ...]]:
    return [
        (
            str(rank),
            each.text,
            *(number(value, form) for value in (each.error.value, each.error.low, each.error.high)),
            f"{each.share:.2f}",
        )
        for rank, each in enumerate(screening.plans, start=1)
    ]


def _stored_harms(checkpoint: Checkpoint, folder: Path, device: str) -> dict[str, float]:
    """The stored harms of single skips, by plan; none where nothing is stored for this checkpoint, device and dtype.

    Raises BaselineError where the file can't be read.
    """
    path = baselines.file_of(folder, checkpoint.name, device, checkpoint.settings.dtype)
    if not path.exists():
        return {}
    stored = baselines.load(path, checkpoint.name).cases
    asks = [Ask((stack,), ("each",), ("skip",)) for stack in checkpoint.stacks]
    cases = {f"{case.stack}: {case.plan}": case.id for case in expand(checkpoint.name, checkpoint.stacks, asks)}
    return {plan: stored[name]["harm"].value for plan, name in cases.items() if "harm" in stored.get(name, {})}

"""``python -m harness power``: inject known faults and see which gates would have caught them."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BaselineError, HarnessError

if TYPE_CHECKING:
    from harness.gates.baselines import Baseline
    from harness.gates.tolerances import Tolerance
    from harness.gates.validation.faults import Fault
    from harness.gates.validation.power import FaultResult


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "power",
        help="inject known faults one at a time and say which gates would have caught them",
        description="Inject known faults, one at a time, and hold every stored case against its baseline under each.",
    )
    parser.add_argument("checkpoints", nargs="*", metavar="CHECKPOINT", help="default: every bundled one")
    parser.add_argument("--baselines", type=Path, default=Path("baselines"), help="default: %(default)s")
    parser.add_argument("--fault", action="append", metavar="NAME", help="only these faults")
    parser.add_argument("--case", action="append", metavar="GLOB", help="only stored cases whose id matches")
    parser.add_argument(
        "--store", action="store_true", help="keep the effect of one more skipped block in the baseline"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown, too")
    parser.add_argument("--device", default=None)
    parser.add_argument("--threads", type=int, default=None, help="torch threads on the CPU")
    parser.set_defaults(call=_power)


def _power(given: argparse.Namespace) -> None:
    import torch

    from harness.files import write_atomically
    from harness.gates.validation.faults import FAULTS
    from harness.gates.validation.power import insensitive
    from harness.models.checkpoints.resolve import bundled_names
    from harness.report.power_page import markdown

    known = {m.name: m for m in FAULTS}
    for name in given.fault or ():
        if name not in known:
            raise HarnessError(f"unknown fault {name!r}; there are {', '.join(known)}")
    mutants = [known[name] for name in given.fault or known]
    if given.threads:
        torch.set_num_threads(given.threads)
    found: dict[str, list[FaultResult]] = {}
    blind: dict[str, list[str]] = {}
    for checkpoint in given.checkpoints or bundled_names():
        found[checkpoint], baseline, tolerances = _examine(checkpoint, mutants, given)
        blind[checkpoint] = insensitive(baseline, tolerances)
    text = markdown(found, blind)
    print(text)
    if given.markdown is not None:
        write_atomically(given.markdown, text)
        print(f"wrote {given.markdown}")


def _examine(
    name: str, mutants: Sequence[Fault], given: argparse.Namespace
) -> tuple[list[FaultResult], Baseline, tuple[Tolerance, ...]]:
    from fnmatch import fnmatchcase

    from harness.ablation.grid import from_id
    from harness.gates import baselines
    from harness.gates.reference import reference_for
    from harness.gates.validation.power import SENSITIVITY_FAULT, examine, store_effects
    from harness.lab.lab import Lab
    from harness.models.checkpoints.resolve import resolve
    from harness.models.environment import pick_device

    lab = Lab(resolve(name), device=pick_device(given.device))
    judged = reference_for(lab, given.baselines)
    if judged.baseline is None or judged.incomparable:
        why = judged.incomparable or f"there is no {judged.target}"
        raise BaselineError(f"nothing to hold {name} against: {why}; store one with --dit-baseline-update=missing")
    wanted = given.case or ["*"]
    ids = [i for i in judged.baseline.cases if any(fnmatchcase(i, pattern) for pattern in wanted)]
    if not ids:
        raise BaselineError(f"{judged.baseline.path} has no case that matches {', '.join(wanted)}")
    cases = [from_id(lab.checkpoint.name, lab.checkpoint.stacks, i) for i in ids]
    tested: list[FaultResult] = []
    for each in examine(lab, cases, judged.baseline, judged.tolerances, mutants, _progress):
        tested.append(each)
        if given.store and each.mutant.name == SENSITIVITY_FAULT and not each.why_not:
            store_effects(judged.baseline, each)
            # Into the file as it is: what is judged by leaves out noise floors of another machine.
            stored = baselines.load(judged.baseline.path, lab.checkpoint.name)
            kept = store_effects(stored, each)
            baselines.save(stored)
            print(f"\rkept the effect of {SENSITIVITY_FAULT} on {kept} cases in {stored.path}", file=sys.stderr)
    return tested, judged.baseline, judged.tolerances


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}".ljust(shutil.get_terminal_size().columns - 1), end="", file=sys.stderr, flush=True)

"""Inject known faults, one at a time, and judge every stored case against its baseline under each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import torch

from harness.ablation.grid import from_id
from harness.cli import common, progress
from harness.errors import BaselineError, HarnessError
from harness.gates import baselines
from harness.gates.baselines import Baseline
from harness.gates.reference import reference_for
from harness.gates.tolerances import Tolerance
from harness.gates.validation.faults import FAULTS, Fault
from harness.gates.validation.power import SENSITIVITY_FAULT, FaultResult, examine, insensitive, store_effects
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import bundled_names, resolve
from harness.models.environment import pick_device
from harness.report.power_page import markdown
from harness.spelling import did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoints", nargs="*", metavar="CHECKPOINT", help="default: every bundled one")
    parser.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="FOLDER", help="default: %(default)s"
    )
    parser.add_argument("--fault", action="append", metavar="NAME", help="only these faults")
    parser.add_argument("--case", action="append", metavar="GLOB", help="only stored cases whose id matches")
    parser.add_argument(
        "--store", action="store_true", help="store the effect of one more skipped block in the baseline"
    )
    common.add_markdown(parser, "the table")
    common.add_device(parser)
    common.add_threads(parser)


def run(arguments: argparse.Namespace) -> None:
    """Inject the faults into each checkpoint, and print the table. Raises HarnessError for an unknown fault."""
    known = {m.name: m for m in FAULTS}
    for name in arguments.fault or ():
        if name not in known:
            raise HarnessError(f"unknown fault {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    mutants = [known[name] for name in arguments.fault or known]
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    results: dict[str, list[FaultResult]] = {}
    insensitive_cases: dict[str, list[str]] = {}
    for checkpoint in arguments.checkpoints or bundled_names():
        results[checkpoint], baseline, tolerances = _examine(checkpoint, mutants, arguments)
        insensitive_cases[checkpoint] = insensitive(baseline, tolerances)
    text = markdown(results, insensitive_cases)
    print(text)
    common.write_markdown(arguments.markdown, text)


def _examine(
    name: str, mutants: Sequence[Fault], arguments: argparse.Namespace
) -> tuple[list[FaultResult], Baseline, tuple[Tolerance, ...]]:
    lab = Lab(resolve(name), device=pick_device(arguments.device))
    judged = reference_for(lab, arguments.baselines)
    if judged.baseline is None or judged.incomparable:
        why = judged.incomparable or f"there is no {judged.target}"
        raise BaselineError(f"nothing to hold {name} against: {why}; store one with --dit-baseline-update=missing")
    # With the noise floors that the file has, also where they are of other arithmetic: the table has both.
    baseline = baselines.load(judged.baseline.path, lab.checkpoint.name)
    wanted = arguments.case or ["*"]
    ids = [i for i in baseline.cases if any(fnmatchcase(i, pattern) for pattern in wanted)]
    if not ids:
        guess = did_you_mean(wanted[0], baseline.cases)
        raise BaselineError(f"{baseline.path} has no case that matches {', '.join(wanted)}{guess}")
    cases = [from_id(lab.checkpoint.name, lab.checkpoint.stacks, i) for i in ids]
    tested: list[FaultResult] = []
    with progress.status() as say:
        for each in examine(lab, cases, baseline, judged.tolerances, mutants, say):
            tested.append(each)
            if arguments.store and each.mutant.name == SENSITIVITY_FAULT and not each.why_not:
                kept = store_effects(baseline, each)
                baselines.save(baseline)
                print(f"kept the effect of {SENSITIVITY_FAULT} on {kept} cases in {baseline.path}", file=sys.stderr)
    return tested, baseline, judged.tolerances

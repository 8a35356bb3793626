"""Measure sets of left-out blocks of a small model, so that searches can be scored: see docs/search.md.

`--errors FILE` takes the velocity error of every set, of which a model of L blocks has 2^L. It is written when all are
there, after minutes.

`--harms FILE` takes the harm on images of all sets of one and two blocks, and of a sample of the larger ones. Each is
written as it is measured, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from harness.ablation.removals import Blocks
from harness.analysis.screening import evenly_spaced
from harness.cli import common, progress
from harness.errors import HarnessError
from harness.lab.lab import Lab
from harness.models import prompts as prompt_files
from harness.models.checkpoints.resolve import resolve
from harness.models.environment import device_key, pick_device, versions
from harness.search.journal import MeasuredOn, open_journal
from harness.search.sampled_harms import measure_harms, sampled_removals
from harness.search.truth import Circumstances, check_size, measure_truth, write_truth

_PROMPTS, _STEPS = 4, 2  # as in a search


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", help="a bundled or real checkpoint of at most 18 blocks")
    parser.add_argument("--errors", type=Path, metavar="FILE", help="a table (.safetensors) of all velocity errors")
    parser.add_argument("--harms", type=Path, metavar="FILE", help="a journal (.jsonl) of harms on images")
    common.add_taken(parser, _PROMPTS, _STEPS)
    parser.add_argument(
        "--harm-prompts",
        type=common.whole_number(2, 10_000),
        default=16,
        metavar="N",
        help="how many prompts harms are measured on (default: %(default)s)",
    )
    parser.add_argument(
        "--sample",
        type=common.whole_number(0, 100_000),
        default=100,
        metavar="N",
        help="how many sets of more than two blocks harms are measured of (default: %(default)s)",
    )
    parser.add_argument("--seed", type=common.whole_number(0, 2**31), default=0, metavar="N", help="of that sample")
    common.add_device(parser)
    common.add_threads(parser)


def same_goes_on(arguments: argparse.Namespace) -> bool:
    """Whether there is a journal of harms that the same command goes on from."""
    return arguments.harms is not None


def run(arguments: argparse.Namespace) -> None:
    """Measure what is asked for. Raises HarnessError where nothing is, and for a model with too many blocks."""
    if arguments.errors is None and arguments.harms is None:
        raise HarnessError("there is nothing to measure: give --errors FILE, --harms FILE or both")
    checkpoint = resolve(arguments.checkpoint)
    check_size(checkpoint.name, checkpoint.stacks)
    for path in (arguments.errors, arguments.harms):
        if path is not None:
            common.check_writable(path)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    texts = prompt_files.read(checkpoint.prompts_file or prompt_files.DEFAULT)
    device = pick_device(arguments.device)
    if arguments.harms is not None:
        taken = evenly_spaced(arguments.harm_prompts, len(texts))
        _harms(arguments, Lab(checkpoint, prompts=[texts[i] for i in taken], device=device), taken)
    if arguments.errors is not None:
        taken = evenly_spaced(arguments.take_prompts, len(texts))
        _errors(arguments, Lab(checkpoint, prompts=[texts[i] for i in taken], device=device))


def _errors(arguments: argparse.Namespace, lab: Lab) -> None:
    checkpoint = lab.checkpoint
    about = Circumstances(
        checkpoint=checkpoint.name,
        lengths=checkpoint.stacks,
        weights=lab.fingerprint.weights,
        prompts=tuple(lab.prompts),
        rough_prompts=max(1, len(lab.prompts) // 4),
        steps=evenly_spaced(arguments.take_steps, checkpoint.settings.steps),
        of_steps=checkpoint.settings.steps,
        versions=versions(),
        device=device_key(lab.device),
        dtype=checkpoint.settings.dtype,
        threads=torch.get_num_threads(),
    )
    truth = measure_truth(lab.sampler, about)
    write_truth(truth, arguments.errors)
    print(
        f"wrote {arguments.errors}: {len(truth.fine)} sets of blocks, {truth.about.block_runs} block runs on "
        f"{len(about.prompts)} prompts x {len(about.steps)} steps, {truth.about.seconds:.0f} s"
    )


def _harms(arguments: argparse.Namespace, lab: Lab, taken: tuple[int, ...]) -> None:
    journal = open_journal(arguments.harms, MeasuredOn(lab.fingerprint, taken))
    blocks = Blocks.alike(lab.checkpoint.stacks)
    removals = sampled_removals(blocks.count, arguments.sample, arguments.seed)
    with progress.bar("sets") as say:
        measure_harms(lab, blocks, removals, journal, say)
    print(f"wrote {arguments.harms}: harms of {len(journal.harms)} sets of blocks on {len(lab.prompts)} prompts")

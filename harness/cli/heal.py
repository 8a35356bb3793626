"""Train a pruned model until it does again what the whole one does, and save it as a checkpoint of its own.

The student is the transformer without the blocks that the plan leaves out; the teacher is the whole one. It learns the
teacher's velocity and the outputs of the teacher's blocks, each divided by its norm (normalised feature distillation of
LAPTOP-Diff, arXiv 2404.11098), on noised images that the teacher makes of the prompts. Ctrl-C or SIGTERM leaves a
state that `--resume` goes on from. What becomes of the harm is measured with `--run`.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.ablation.plan import Plan
from harness.cli import common, hub_upload
from harness.healing.folder import STATE, check_target, interval_text, summary, write_checkpoint
from harness.healing.harm import harms_of, measure_healed, records_of, time_healed
from harness.healing.heal import Job, heal
from harness.healing.recipe import Recipe
from harness.healing.state import is_begun
from harness.healing.trainer import Advance
from harness.lab.lab import Lab
from harness.models import prompts as prompt_files
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.models.checkpoints.weight_files import weights_digest
from harness.models.environment import pick_device
from harness.models.loading import load
from harness.models.random_weights.checkpoint import resolve as random_checkpoint
from harness.models.random_weights.weights import outline
from harness.models.sampler import Sampler
from harness.models.spec import BATCH
from harness.report.ranking_terminal import render
from harness.results.journal import check_place, write_journal
from harness.surgery.pruning import chosen

_BATCH = 8  # images in one forward of both models, where the checkpoint's own batch is larger or not given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    defaults = Recipe()
    count = common.whole_number(1, 100_000_000)
    common.add_kept_blocks(parser)
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="default: the checkpoint's own prompts")
    parser.add_argument(
        "--images-per-prompt",
        type=count,
        default=1,
        metavar="N",
        help="of the teacher's images that are trained on (default: %(default)s)",
    )
    training = parser.add_argument_group("training")
    training.add_argument("--steps", type=count, default=defaults.steps, metavar="N", help="default: %(default)s")
    training.add_argument(
        "--batch",
        type=common.whole_number(*BATCH),
        metavar="N",
        help=f"noised images in one forward (default: the checkpoint's batch, at most {_BATCH})",
    )
    training.add_argument(
        "--accumulate", type=count, default=1, metavar="N", help="batches in one step (default: %(default)s)"
    )
    training.add_argument(
        "--rate", type=float, default=defaults.rate, metavar="RATE", help="highest learning rate (default: %(default)s)"
    )
    training.add_argument(
        "--seed",
        type=common.whole_number(0, 999_999_999),
        default=0,
        metavar="N",
        help="of noise, noise levels and the order of images (default: %(default)s)",
    )
    training.add_argument(
        "--lora",
        type=common.whole_number(1, 4096),
        metavar="RANK",
        help="train a LoRA of that rank on the blocks' linear layers, merged at the end, instead of all weights",
    )
    training.add_argument(
        "--feature-weight",
        type=float,
        default=defaults.feature_weight,
        metavar="W",
        help="of the blocks' outputs beside the velocity; 0 leaves them out (default: %(default)s)",
    )
    training.add_argument(
        "--unnormalised", action="store_true", help="don't divide each block's term by the teacher's norm"
    )
    training.add_argument(
        "--gradient-checkpointing", action="store_true", help="less memory, and about a third more time"
    )
    training.add_argument(
        "--save-every", type=count, default=100, metavar="N", help="steps between two states (default: %(default)s)"
    )
    training.add_argument("--resume", action="store_true", help="go on with an interrupted healing in OUT")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help="also measure the plan and the healed model against the whole one, on the checkpoint's prompts, into this "
        "run folder, which `report` ranks again",
    )
    common.add_device(parser)
    common.add_dtype(parser)
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that isn't there yet, or is empty")
    hub_upload.add_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Heal, write the checkpoint, and print what was done. Raises HarnessError for wrong input before any training."""
    out: Path = arguments.out
    check_target(out, resume=arguments.resume)
    hub_upload.check(arguments)
    checkpoint = resolve(arguments.checkpoint, dtype=arguments.dtype)
    job = _job(arguments, checkpoint)
    chosen(outline(random_checkpoint(arguments.checkpoint, "random")), job.plans)  # shapes alone, no weights
    if arguments.run is not None:
        check_place(arguments.run)
    device = pick_device(arguments.device)
    # A lab only to measure: its judge may not be on this disk.
    lab = None if arguments.run is None else Lab(checkpoint, device=device)
    sampler = lab.sampler if lab is not None else _sampler(checkpoint, device)
    try:
        with _bars(job) as bars:
            healed = heal(
                sampler,
                job,
                out / STATE,
                save_every=arguments.save_every,
                image_made=bars.image_made,
                step_done=bars.step_done,
            )
    except KeyboardInterrupt:
        if not is_begun(out / STATE):
            raise
        raise _stopped(arguments) from None
    harms, records = None, None
    if lab is not None:
        plans = {stack: Plan(blocks) for stack, blocks in healed.kept.items()}
        before, after = lab.run_stacks(plans).measurement, measure_healed(lab, healed.model)
        harms = harms_of(before, after, lab.seed_sd, time_healed(lab, healed.model))
        records = records_of(lab, plans, before, after, run=arguments.run.name)
    write_checkpoint(out, checkpoint, job, healed, harms, None if lab is None else lab.fingerprint)
    print("\n".join(summary(out, job, healed)))
    if records is not None and harms is not None:
        write_journal(arguments.run, records)
        width = shutil.get_terminal_size().columns
        print(render(records, width, common.colour(), option=common.COLUMNS_OPTION), end="")
        print(f"brought back: {interval_text(harms.recovered)} sd of {harms.before.value:.2f}; wrote {arguments.run}")
        if job.own_prompts:
            common.warn("harm was measured on the prompts that were trained on; --prompts FILE trains on others")
    if arguments.push_to_hub is not None:
        print(f"pushed to {hub_upload.push(out, arguments.push_to_hub, private=arguments.private)}")


def _stopped(arguments: argparse.Namespace) -> common.Stopped:
    """What says how to go on with a state that is kept."""
    return common.stopped(arguments) if arguments.resume else common.stopped(arguments, "--resume")


def _job(arguments: argparse.Namespace, checkpoint: Checkpoint) -> Job:
    own = checkpoint.prompts_file or prompt_files.DEFAULT
    file: Path = arguments.prompts or own
    recipe = Recipe(
        steps=arguments.steps,
        batch=arguments.batch or min(checkpoint.settings.batch, _BATCH),
        rate=arguments.rate,
        seed=arguments.seed,
        normalised=not arguments.unnormalised,
        feature_weight=arguments.feature_weight,
        lora_rank=arguments.lora or 0,
        accumulate=arguments.accumulate,
        gradient_checkpointing=arguments.gradient_checkpointing,
    )
    return Job(
        checkpoint=checkpoint.name,
        weights=weights_digest(checkpoint.folder),
        plans=arguments.plans,
        prompts=prompt_files.read(file),
        recipe=recipe,
        dtype=checkpoint.settings.dtype,
        images_per_prompt=arguments.images_per_prompt,
        own_prompts=file.resolve() == own.resolve(),
    )


def _sampler(checkpoint: Checkpoint, device: torch.device) -> Sampler:
    return Sampler(load(checkpoint, device), checkpoint.family, checkpoint.settings, checkpoint.settings.batch)


class _Bars(NamedTuple):
    """What the two progress bars are told."""

    image_made: Callable[[int], None]
    step_done: Advance


@contextmanager
def _bars(job: Job) -> Iterator[_Bars]:
    """Progress on stderr with the time that is left: the teacher's images, then the steps."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        images = progress.add_task("teacher's images", total=len(job.prompts) * job.images_per_prompt, note="")
        steps = progress.add_task("steps", total=job.recipe.steps, note="", start=False)

        def image_made(count: int) -> None:
            progress.update(images, advance=count)

        def step_done(done: int, loss: float) -> None:
            progress.start_task(steps)
            progress.update(steps, completed=done, note=f"loss {loss:.4g}")

        yield _Bars(image_made, step_done)

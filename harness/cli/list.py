"""Without CHECKPOINT: the checkpoints, strategies, ranges and metrics there are.

With CHECKPOINT: the cases of a grid over it, and what they cost. No model is loaded, unless ``--measure`` asks for it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.ablation.case import Case
from harness.cli import grid_options
from harness.cli.inventory import RANGES, CheckpointEntry, Listed, checkpoints, metrics, strategies
from harness.cli.tables import draw, overview, planned
from harness.errors import ExtensionError, HarnessError, OptionError
from harness.gates import baselines
from harness.gates.reference import stored_unit
from harness.lab import cost
from harness.models import prompts
from harness.models.checkpoints.changed_settings import SIZE_FORM, SettingsChange, change_settings, read_size
from harness.models.checkpoints.resolve import Checkpoint, blueprint, resolve, transformer_config
from harness.report.text import duration

_NEED_CHECKPOINT = (
    *("stack", "range", "strategy", "plan", "steps", "size", "batch", "seeds", "control_seeds", "prompts", "measure"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="a name, a hub id or a folder")
    grid_options.add_grid(parser)
    parser.add_argument("--steps", metavar="N", help="denoising steps (default: the checkpoint's)")
    parser.add_argument("--size", metavar="PIXELS", help=f"size of the images: {SIZE_FORM} (default: the checkpoint's)")
    parser.add_argument("--batch", metavar="N", help="images in one forward (default: the checkpoint's)")
    parser.add_argument("--seeds", metavar="N", help="seeds that a variant is run on (default: 1)")
    parser.add_argument("--control-seeds", metavar="N", help="seeds of the control (default: the checkpoint's)")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="a file of prompts (default: the checkpoint's)")
    parser.add_argument("--measure", action="store_true", help="load it and time one batch, to say how long it takes")
    parser.add_argument("--device", default=None, help="where to time it (default: the GPU where there is one)")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(arguments: argparse.Namespace) -> None:
    """Print what there is, or what a sweep costs. Raises HarnessError for options without their checkpoint."""
    if arguments.checkpoint is not None:
        _plan(arguments)
        return
    lacking = [name for name in _NEED_CHECKPOINT if vars(arguments)[name]]
    if lacking:
        option = f"--{lacking[0].replace('_', '-')}"
        raise HarnessError(f"{option} needs a checkpoint: python -m harness list CHECKPOINT {option} ...")
    _overview(as_json=arguments.json)


def _overview(*, as_json: bool) -> None:
    entries, known, others = checkpoints(), strategies(), metrics()
    found: dict[str, Sequence[CheckpointEntry | Listed]] = {
        "checkpoints": entries,
        "strategies": known,
        "metrics": others,
    }
    errors = [entry.error for listed in found.values() for entry in listed if entry.error]
    if as_json:
        plain = {name: [dataclasses.asdict(entry) for entry in listed] for name, listed in found.items()}
        print(json.dumps({**plain, "ranges": RANGES, "errors": errors}, indent=2))
    else:
        print(draw(overview(entries, known, others), _width()), end="")
    if errors:
        raise ExtensionError("; ".join(dict.fromkeys(errors)))


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _plan(arguments: argparse.Namespace) -> None:
    architecture = blueprint(arguments.checkpoint)  # a published one needs nothing on this disk
    change = _change(arguments)
    checkpoint = change_settings(architecture.checkpoint, change, architecture.config)
    cases = grid_options.read_grid(arguments, checkpoint)
    texts = prompts.read(arguments.prompts or checkpoint.prompts_file or prompts.DEFAULT)
    seeds = _whole("seeds", arguments.seeds) or 1
    total = cost.cost(checkpoint.stacks, checkpoint.settings, checkpoint.family, cases, len(texts), variant_seeds=seeds)
    folder = baselines.find_folder(Path.cwd())
    wanted = folder and baselines.file_of(folder, checkpoint.name, "cpu", checkpoint.settings.dtype)
    unit = stored_unit(wanted, checkpoint.name) if wanted else None
    timed = _measured(arguments, texts, change) if arguments.measure else None
    seconds = None if timed is None else total.seconds(timed["batch"], timed["forward"])
    if arguments.json:
        print(json.dumps(_plain(checkpoint, cases, total, timed, seconds, unit), indent=2))
        return
    time = "not known: --measure loads the checkpoint and times one batch"
    if timed is not None and seconds is not None:
        time = (
            f"about {duration(seconds)} on {timed['device']}: a batch of {timed['images']} took "
            f"{timed['batch']:.2f} s, a forward in it {timed['forward']:.3f} s (without loading, judging and latency)"
        )
    print(draw(planned(checkpoint, cases, total, time, unit), _width()), end="")


def _change(arguments: argparse.Namespace) -> SettingsChange:
    """The settings of the command line that take the place of the checkpoint's."""
    try:
        width, height = (None, None) if arguments.size is None else read_size(arguments.size)
    except OptionError as error:
        raise HarnessError(f"--size {error}") from None
    return SettingsChange(
        steps=_whole("steps", arguments.steps),
        width=width,
        height=height,
        seeds=_whole("control-seeds", arguments.control_seeds),
        batch=_whole("batch", arguments.batch),
    )


def _whole(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) < 1:
        raise HarnessError(f"--{name} takes a whole number from 1 to 99999, not {text!r}")
    return int(text)


def _measured(arguments: argparse.Namespace, texts: Sequence[str], change: SettingsChange) -> dict[str, Any]:
    from harness.lab.throughput import (
        measure_throughput,  # here: both load torch, and nothing else of this command does
    )
    from harness.models.environment import pick_device

    checkpoint = resolve(arguments.checkpoint)  # now its weights are needed, too
    checkpoint = change_settings(checkpoint, change, transformer_config(checkpoint))
    return dataclasses.asdict(measure_throughput(checkpoint, texts, pick_device(arguments.device)))


def _plain(
    checkpoint: Checkpoint,
    cases: Sequence[Case],
    total: cost.Cost,
    timed: dict[str, Any] | None,
    seconds: float | None,
    unit: float | None,
) -> dict[str, Any]:
    """A plan for programs; ``seconds`` is null where nothing was timed, ``unit`` (of harm) where none is stored."""
    return {
        "checkpoint": checkpoint.name,
        "family": checkpoint.family.name,
        "stacks": dict(checkpoint.stacks),
        "lacks": checkpoint.lacks,
        "settings": dataclasses.asdict(checkpoint.settings),
        "cases": [
            {"id": c.id, "stack": c.stack, "plan": str(c.plan), "blocks": cost.share(c, checkpoint.stacks)}
            for c in cases
        ],
        "cost": {
            **dataclasses.asdict(total),
            "images": total.images,
            "control_images": total.control_images,
            "images_in_a_forward": total.together,
            "forwards": total.forwards,
            "passes_of_the_control": total.controls,
            "exhaustive_control_images": total.exhaustive,
            "adaptive_control_images": total.adaptive,
            "screening_control_images": cost.single_skips_cost(checkpoint.stacks, total.steps),
            "disk_bytes": total.disk,
            "seconds": seconds,
            "half_width_sd": total.half_width,
            "told_apart_sd": total.told_apart,
            "sd_points": unit,
        },
        "timed": timed,
    }
